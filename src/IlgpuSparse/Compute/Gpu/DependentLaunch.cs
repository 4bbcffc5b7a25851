using System.Text.RegularExpressions;
using ILGPU.IR.Intrinsics;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// Kernels of a CUDA graph that start while the one before is still at work (programmatic dependent launch, compute capability 9.0): its launch, and what a kernel does before <see cref="AwaitEarlier"/>, cost no time of
/// their own.
/// </summary>
/// <remarks>
/// Every kernel lets its successor start as soon as all of its own groups have (or are at their end, <see cref="KernelVariant.HoldsNext"/>, or say so themselves, <see cref="LetNextStart"/>), and waits until everything before it is finished and visible: at its beginning, or where it says so itself. A kernel is not finished before
/// it has waited, so what is before its predecessor is finished too. <see cref="CudaGraph"/> makes the edges between kernels such; launched outside of a graph kernels start one after another, and neither instruction does anything.
/// </remarks>
internal static partial class DependentLaunch
{
    private const string Wait = "griddepcontrol.wait;", Launch = "griddepcontrol.launch_dependents;";

    /// <summary>
    /// From here on the kernel reads what earlier kernels have written, and writes. Before it may be read what no kernel of the graph writes, weights for one, or only its last. Kernels that do not say it wait at their beginning.
    /// </summary>
    [IntrinsicImplementation, PtxOp(Wait)]
    public static void AwaitEarlier() { }

    /// <summary>From here on the next kernel may start. Where nobody says it, it may at the beginning; what it asks for then comes long before this one's end, at which memory has nothing to do.</summary>
    [IntrinsicImplementation, PtxOp(Launch)]
    public static void LetNextStart() { }

    /// <summary>The first driver that knows such edges, as <see cref="CudaDriver.Version"/>.</summary>
    public const int LeastDriver = 12_030;

    /// <summary>Whether devices of this compute capability have it.</summary>
    public static bool IsKnownTo(int major) => major >= 9;

    /// <summary>The kernel's text for a device that does not have it.</summary>
    public static string Remove(string ptx) => ptx.Replace(Wait, "", StringComparison.Ordinal).Replace(Launch, "", StringComparison.Ordinal);

    /// <summary>The kernel's text for a device that has it; <paramref name="late"/>: see <see cref="KernelVariant.HoldsNext"/>.</summary>
    public static string Complete(string ptx, bool late)
    {
        // the kernel itself then does not decide
        if (late) ptx = ptx.Replace(Launch, "", StringComparison.Ordinal);
        // ILGPU names an older target than the device's
        ptx = Target().Replace(ptx, ".target sm_90", 1);
        int entry = ptx.IndexOf(".entry", StringComparison.Ordinal);
        int start = FirstInstruction().Match(ptx, ptx.IndexOf("\n{", entry, StringComparison.Ordinal)).Groups[1].Index;
        bool says = ptx.IndexOf(Wait, entry, StringComparison.Ordinal) >= 0, launches = ptx.IndexOf(Launch, entry, StringComparison.Ordinal) >= 0;
        string entered = $"{(late || launches ? "" : $"\t{Launch}\n")}{(says ? "" : $"\t{Wait}\n")}";
        ptx = ptx.Insert(start, entered);
        return late ? ptx[..start] + Return().Replace(ptx[start..], $"\t{Launch}\n$0") : ptx;
    }

    [GeneratedRegex(@"^\.target sm_\d+", RegexOptions.Multiline)]
    private static partial Regex Target();

    [GeneratedRegex(@"^\s+ret;", RegexOptions.Multiline)]
    private static partial Regex Return();

    // behind the declarations of registers and shared memory
    [GeneratedRegex(@"\n()[ \t]+(?!\.)\w")]
    private static partial Regex FirstInstruction();
}
