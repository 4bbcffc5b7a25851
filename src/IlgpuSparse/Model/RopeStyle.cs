namespace IlgpuSparse.Model;

/// <summary>How rotary position embedding pairs the channels of a head.</summary>
public enum RopeStyle
{
    /// <summary>Channel c with c + d/2 (Hugging Face, Qwen 2 in GGUF).</summary>
    HalfSplit,
    /// <summary>Channel 2c with 2c + 1 (Llama in GGUF, whose q and k rows are permuted for it).</summary>
    Interleaved,
}
