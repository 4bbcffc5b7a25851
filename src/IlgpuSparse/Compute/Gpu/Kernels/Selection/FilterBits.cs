using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>What <see cref="SetFilter"/> says of a lane's tokens: bit n is that of <see cref="SetFilter.Token"/> number n.</summary>
internal struct FilterBits
{
    /// <summary>Tokens in bins before the last selected one's.</summary>
    public uint Kept;

    /// <summary>Tokens in its bin.</summary>
    public uint Open;

    /// <summary>How many are kept, and in the upper half how many are open.</summary>
    public readonly uint Counts => (uint)IntrinsicMath.BitOperations.PopCount(Kept) + ((uint)IntrinsicMath.BitOperations.PopCount(Open) << 16);
}
