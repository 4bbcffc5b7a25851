using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Runs of plain 16-bit numbers.</summary>
internal static class SixteenBitRun
{
    /// <summary>See <see cref="ITileCodec.Numbers"/>.</summary>
    public static U4 Numbers(ArrayView<U4> ring, int at, int run, int t)
    {
        var pairs = ring.Cast<U2>();
        var first = pairs[(at >> 2) + run * 8 + t];
        var second = pairs[(at >> 2) + run * 8 + 4 + t];
        U4 result;
        result.X = first.X;
        result.Y = first.Y;
        result.Z = second.X;
        result.W = second.Y;
        return result;
    }
}
