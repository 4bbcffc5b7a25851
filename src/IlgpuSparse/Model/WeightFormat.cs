namespace IlgpuSparse.Model;

/// <summary>How the numbers of a weight tensor are stored in its file; weights are computed with as stored.</summary>
public enum WeightFormat
{
    /// <summary>IEEE single precision.</summary>
    F32,
    /// <summary>IEEE half precision.</summary>
    F16,
    /// <summary>bfloat16: the upper half of a single.</summary>
    BF16,
    /// <summary>GGUF Q8_0: blocks of 32, one fp16 scale and 32 signed bytes.</summary>
    Q8_0,
    /// <summary>GGUF Q4_0: blocks of 32, one fp16 scale and 32 nibbles (offset 8).</summary>
    Q4_0,
    /// <summary>GGUF Q4_1: blocks of 32, fp16 scale and minimum, 32 nibbles.</summary>
    Q4_1,
    /// <summary>GGUF Q4_K: super-blocks of 256 with 6-bit scales and minimums for 8 blocks of 32 nibbles.</summary>
    Q4_K,
    /// <summary>GGUF Q5_K: as Q4_K with a fifth bit.</summary>
    Q5_K,
    /// <summary>GGUF Q6_K: super-blocks of 256 with 8-bit scales for 16 blocks of 16 six-bit numbers.</summary>
    Q6_K,
}
