using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Codes of a slice's scores (<see cref="ScoreBins.Code"/>) in shared memory: the high 16 bits of all tokens, which say more than the bin, and behind them the low 8, which only open tokens are asked for.
/// </summary>
internal static class ResidentCodes
{
    /// <summary>Low bits, which lie apart.</summary>
    public const int LowBits = ScoreBins.CodeBits - 16;

    /// <summary>Bytes for the most tokens that a slice has.</summary>
    public const int Bytes = 3 * SetSlice.MaxTokens;

    // where the low bits begin
    private const int FirstLow = 2 * SetSlice.MaxTokens;

    /// <summary>Keeps the code of token number <paramref name="own"/> of the slice.</summary>
    public static void Put(ArrayView<float> codes, int own, int code)
    {
        codes.Cast<ushort>()[own] = (ushort)(code >> LowBits);
        codes.Cast<byte>()[own + FirstLow] = (byte)code;
    }

    /// <summary>The code of token number <paramref name="own"/> of the slice.</summary>
    public static uint At(ArrayView<U4> codes, int own) => ((uint)codes.Cast<ushort>()[own] << LowBits) | codes.Cast<byte>()[own + FirstLow];
}
