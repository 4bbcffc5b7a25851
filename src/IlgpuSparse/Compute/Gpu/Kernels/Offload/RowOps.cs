using ILGPU.IR.Intrinsics;

namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>16 bytes of a row of K or V by their address, on the device or in pinned host memory: kernels choose between them without a branch.</summary>
internal static unsafe class RowOps
{
    /// <summary>Bytes of a unit.</summary>
    public const int UnitBytes = 16;

    /// <summary>Loads a unit.</summary>
    [IntrinsicImplementation, PtxOp("ld.global.v4.u32 {$r.0, $r.1, $r.2, $r.3}, [$0];")]
    public static U4 Load(long address) => *(U4*)address;

    /// <summary>Stores a unit.</summary>
    [IntrinsicImplementation, PtxOp("st.global.v4.u32 [$0], {$1.0, $1.1, $1.2, $1.3};")]
    public static void Store(long address, U4 unit) => *(U4*)address = unit;
}
