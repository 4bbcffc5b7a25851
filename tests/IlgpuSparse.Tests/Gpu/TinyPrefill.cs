using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>32 rows by 32 tokens: what an emulator can afford. Public because ILGPU's launcher for the CPU accelerator lies in an assembly of its own.</summary>
public readonly struct TinyPrefill : IPrefillTile
{
    public static int WarpShift => 1;

    public static int TokenShift => 5;
}
