namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Rings in which the weights of a product of one row lie between memory and multiplication: each warp of a group has its own, of as many stages as is said to be its depth.</summary>
internal static class RowRing
{
    /// <summary>Most warps a group, and how many it has on CUDA: two of whose registers a multiprocessor has enough for.</summary>
    public const int MaxWarps = 8;

    /// <summary>Warps of a group beside those with rings: one where an epilogue has terms (<see cref="ILinearEpilogue.Ahead"/>), which it works out while the others wait for activations and prepare them. Loads one after another behind copies of weights, and rotations, make the warps that do it late, and all wait for those.</summary>
    public static int Beside<TEpilogue>()
        where TEpilogue : struct, ILinearEpilogue => TEpilogue.HasTerms ? 1 : 0;

    /// <summary>The same for a type that is known at run time.</summary>
    public static int Beside(Type epilogue) => (bool)epilogue.GetProperty(nameof(ILinearEpilogue.HasTerms))!.GetValue(null)! ? 1 : 0;
}
