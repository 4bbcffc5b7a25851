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
    /// <summary>First and last tokens (StreamingLLM, arXiv 2309.17453), with positions in the text (masked) or in what is kept.</summary>
    Streaming,
    /// <summary>Pages by the bounds of their keys (Quest, arXiv 2406.10774).</summary>
    Quest,
    /// <summary>The largest channels of the query, with mean value (SparQ, arXiv 2312.04985).</summary>
    Sparq,
    /// <summary>Double Sparsity with the channels, labels and sets of its authors' code.</summary>
    PublishedDoubleSparsity,
    /// <summary>The last tokens and those that got most attention so far (H2O, arXiv 2306.14048).</summary>
    H2o,
    /// <summary>Leading principal components of the keys (Loki, arXiv 2406.02542).</summary>
    Loki,
}
