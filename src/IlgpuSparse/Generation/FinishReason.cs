namespace IlgpuSparse.Generation;

/// <summary>Why a text ended.</summary>
public enum FinishReason
{
    /// <summary>It has not.</summary>
    None,

    /// <summary>A stop id.</summary>
    Stop,

    /// <summary>As many tokens as asked for, or the end of the context.</summary>
    Length,

    /// <summary>Whoever asked went away.</summary>
    Cancelled,

    /// <summary>A failure; reading the tokens throws it.</summary>
    Failed,
}
