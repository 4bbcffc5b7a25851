namespace IlgpuSparse.Attention;

/// <summary>Methods of attention in decode steps.</summary>
public enum AttentionKind
{
    /// <summary>Every token is read.</summary>
    Dense,
    /// <summary>Tokens are chosen by a label cache of calibrated channels (arXiv 2408.07092).</summary>
    DoubleSparsity,
    /// <summary>The tokens with the highest true scores: what no label can beat at a fixed budget.</summary>
    Oracle,
    /// <summary>First and last tokens (StreamingLLM, arXiv 2309.17453), masked: positions stay as they are.</summary>
    Streaming,
    /// <summary>Pages by the bounds of their keys (Quest, arXiv 2406.10774).</summary>
    Quest,
    /// <summary>The largest channels of the query, with mean value (SparQ, arXiv 2312.04985).</summary>
    Sparq,
}
