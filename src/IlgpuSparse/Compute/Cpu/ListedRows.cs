using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Rows anywhere in the cache, and as many others that will be needed next.</summary>
/// <param name="cache">The cache buffer.</param>
/// <param name="offsets">Byte offset of each row; filled up to a multiple of four with repeats of the last.</param>
/// <param name="count">Tokens.</param>
/// <param name="rowBytes">Bytes a row.</param>
/// <param name="nextCache">The buffer of the rows to fetch.</param>
/// <param name="nextOffsets">Byte offset of each row to fetch; filled up as <paramref name="offsets"/>.</param>
/// <param name="nextCount">Rows to fetch.</param>
internal readonly unsafe struct ListedRows(byte* cache, long* offsets, int count, int rowBytes, byte* nextCache, long* nextOffsets, int nextCount) : IKvRows
{
    /// <summary>Most tokens of a tile: rows are fetched so many ahead, enough to hide memory.</summary>
    public const int Tokens = 32;

    private readonly byte* _cache = cache;
    private readonly long* _offsets = offsets;
    private readonly byte* _nextCache = nextCache;
    private readonly long* _nextOffsets = nextOffsets;
    private readonly int _nextCount = nextCount;
    private readonly int _rowBytes = rowBytes;

    public int Count { get; } = count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Row(int token) => _cache + _offsets[token];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Inside(int token) => _cache + _offsets[token];

    /// <summary>As many of the next rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void FetchRows(int token, int rows)
    {
        if (!Sse.IsSupported || token >= _nextCount) return;
        for (int i = 0; i < rows; i++)
        {
            byte* row = _nextCache + _nextOffsets[token + i];
            // Odd lines first: a row fetched in ascending order looks like a stream to the processor, which then fetches lines behind the row that nobody wants.
            for (int line = 64; line < _rowBytes; line += 128) Sse.Prefetch0(row + line);
            for (int line = 0; line < _rowBytes; line += 128) Sse.Prefetch0(row + line);
        }
    }

    /// <summary>Nothing: rows are fetched whole.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void FetchPiece(int token, int rows, int at, int bytes)
    {
    }
}
