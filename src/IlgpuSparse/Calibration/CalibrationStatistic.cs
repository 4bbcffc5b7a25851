namespace IlgpuSparse.Calibration;

/// <summary>What ranks the channels of a kv head. All are gathered per head after RoPE, summed over the query heads of the group.</summary>
public enum CalibrationStatistic
{
    /// <summary>mean |q_c · k_c| of the same token: the paper's choice, done right (the published code mixed up heads).</summary>
    Qk,
    /// <summary>mean |q_c|.</summary>
    Q,
    /// <summary>mean |k_c|.</summary>
    K,
    /// <summary>E[q_c²] · Var(k_c): the variance that leaving the channel out adds to the logits. A constant in a channel shifts all logits alike and does not count.</summary>
    Variance,
    /// <summary>mean |q_c · k_c| over all heads of the layer, which so have the same channels: what the published code does, to compare with.</summary>
    QkLayer,
}
