using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Words of blocks that are aligned to two bytes only.</summary>
internal static class TwoByteUnits
{
    /// <summary>The four bytes from unit <paramref name="at"/> of two bytes.</summary>
    public static uint Word(ArrayView<U4> ring, int at)
    {
        var units = ring.Cast<ushort>();
        return units[at] | (uint)units[at + 1] << 16;
    }
}
