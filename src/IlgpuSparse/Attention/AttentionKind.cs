namespace IlgpuSparse.Attention;

/// <summary>Methods of attention in decode steps.</summary>
public enum AttentionKind
{
    /// <summary>Every token is read.</summary>
    Dense,
    /// <summary>Tokens are chosen by a label cache of calibrated channels (arXiv 2408.07092).</summary>
    DoubleSparsity,
}
