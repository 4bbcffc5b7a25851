using ILGPU.IR.Intrinsics;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Loads with a word about caches.</summary>
internal static class Loads
{
    /// <summary>What another group of the same launch has written: not from the first-level cache.</summary>
    [IntrinsicImplementation, PtxOp("ld.global.cg.v4.f32 {$r.0, $r.1, $r.2, $r.3}, [$g0];")]
    public static F4 Fresh(ref F4 source) => source;

    /// <inheritdoc cref="Fresh(ref F4)"/>
    [IntrinsicImplementation, PtxOp("ld.global.cg.v4.u32 {$r.0, $r.1, $r.2, $r.3}, [$g0];")]
    public static U4 Fresh(ref U4 source) => source;

    /// <inheritdoc cref="Fresh(ref F4)"/>
    [IntrinsicImplementation, PtxOp("ld.global.cg.v2.u32 {$r.0, $r.1}, [$g0];")]
    public static U2 Fresh(ref U2 source) => source;

    /// <inheritdoc cref="Fresh(ref F4)"/>
    [IntrinsicImplementation, PtxOp("ld.global.cg.u32 $r, [$g0];")]
    public static uint Fresh(ref uint source) => source;

    /// <inheritdoc cref="Fresh(ref F4)"/>
    [IntrinsicImplementation, PtxOp("ld.global.cg.u64 $r, [$g0];")]
    public static ulong Fresh(ref ulong source) => source;

    /// <inheritdoc cref="Fresh(ref F4)"/>
    [IntrinsicImplementation, PtxOp("ld.global.cg.v2.f32 {$r.0, $r.1}, [$g0];")]
    public static F2 Fresh(ref F2 source) => source;

    /// <inheritdoc cref="Fresh(ref F4)"/>
    [IntrinsicImplementation, PtxOp("ld.global.cg.f32 $r, [$g0];")]
    public static float Fresh(ref float source) => source;

    /// <summary>What another group is about to write: read anew each time.</summary>
    [IntrinsicImplementation, PtxOp("ld.relaxed.gpu.global.u32 $r, [$g0];")]
    public static uint Awaited(ref uint source) => source;

    /// <summary>What no kernel writes.</summary>
    [IntrinsicImplementation, PtxOp("ld.global.nc.v4.u32 {$r.0, $r.1, $r.2, $r.3}, [$g0];")]
    public static U4 Constant(ref U4 source) => source;

    /// <inheritdoc cref="Constant(ref U4)"/>
    [IntrinsicImplementation, PtxOp("ld.global.nc.v2.u32 {$r.0, $r.1}, [$g0];")]
    public static U2 Constant(ref U2 source) => source;

    /// <summary>Has the second-level cache bring what is read soon.</summary>
    [IntrinsicImplementation, PtxOp("prefetch.global.L2 [$g0];")]
    public static void Ahead(ref uint source) { }

    /// <summary>A policy for <see cref="Once"/>: first to leave the second-level cache.</summary>
    [IntrinsicImplementation, PtxOp("createpolicy.fractional.L2::evict_first.b64 $r, 1.0;")]
    public static ulong EvictFirst() => 0;

    /// <summary>What no kernel of this step reads again, so that it pushes out nothing of use.</summary>
    [IntrinsicImplementation, PtxOp("ld.global.nc.L1::no_allocate.L2::cache_hint.v4.u32 {$r.0, $r.1, $r.2, $r.3}, [$g0], $1;")]
    public static U4 Once(ref U4 source, ulong policy) => source;
}
