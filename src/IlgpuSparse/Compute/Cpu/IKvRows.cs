namespace IlgpuSparse.Compute.Cpu;

/// <summary>The rows of K or of V of a tile of tokens, and what to fetch from memory while they are used.</summary>
internal unsafe interface IKvRows
{
    /// <summary>Tokens.</summary>
    int Count { get; }

    /// <summary>The row of <paramref name="token"/>; from <see cref="Count"/> up to a multiple of four it is the last one's.</summary>
    byte* Row(int token);

    /// <summary>The row of <paramref name="token"/>, one of <see cref="Count"/>.</summary>
    byte* Inside(int token);

    /// <summary>Fetches what is due before <paramref name="rows"/> rows from <paramref name="token"/> on are used; called once for every row, or not at all.</summary>
    void FetchRows(int token, int rows);

    /// <summary>Fetches what is due while <paramref name="bytes"/> bytes from byte <paramref name="at"/> on are used of each of <paramref name="rows"/> rows from <paramref name="token"/> on; called once for every piece of a row, or not at all.</summary>
    void FetchPiece(int token, int rows, int at, int bytes);
}
