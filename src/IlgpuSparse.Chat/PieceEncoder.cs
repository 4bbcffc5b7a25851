namespace IlgpuSparse.Chat;

/// <summary>Turns text that holds no control tokens into ids: the algorithm of a tokenizer.</summary>
internal abstract class PieceEncoder
{
    /// <summary>Appends the ids of <paramref name="text"/> (well-formed UTF-16) to <paramref name="ids"/>.</summary>
    /// <param name="text">Text between control tokens.</param>
    /// <param name="afterControl">Whether the text stands at the beginning or after a control token, where SentencePiece puts its space.</param>
    /// <param name="ids">Receives the ids.</param>
    public abstract void Encode(string text, bool afterControl, List<int> ids);
}
