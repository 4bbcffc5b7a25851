namespace IlgpuSparse.Chat;

/// <summary>What a piece of a vocabulary is; GGUF and SentencePiece number them alike.</summary>
internal enum PieceType
{
    /// <summary>Text that merging may arrive at.</summary>
    Normal = 1,
    /// <summary>Stands for text that has no piece.</summary>
    Unknown = 2,
    /// <summary>Steers the model (beginning, end, role marks); never comes out of plain text and is not shown.</summary>
    Control = 3,
    /// <summary>Text that is always one piece.</summary>
    UserDefined = 4,
    /// <summary>Takes part in merging but is taken apart again afterwards.</summary>
    Unused = 5,
    /// <summary>One byte, &lt;0x00&gt; to &lt;0xFF&gt;.</summary>
    Byte = 6,
}
