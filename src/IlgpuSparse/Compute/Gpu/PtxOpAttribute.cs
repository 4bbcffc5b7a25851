namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// Makes a static method one PTX instruction (or a short braced sequence) on CUDA. The method also needs ILGPU's <c>[IntrinsicImplementation]</c>; its body runs on the CPU accelerator only.
/// </summary>
/// <remarks>
/// <c>$r</c> is the result, <c>$0 $1 ..</c> the arguments, <c>$r.2</c> and <c>$0.1</c> fields of a struct, <c>$s0</c> the 32-bit shared address and <c>$g0</c> the global address of a
/// <c>ref</c> argument, <c>$$</c> a dollar sign. Braces round several instructions keep local <c>.reg</c> names apart. Calls keep program order and are never merged or removed.
/// </remarks>
/// <param name="asm">The PTX text.</param>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class PtxOpAttribute(string asm) : Attribute
{
    /// <summary>The PTX text.</summary>
    public string Asm => asm;

    /// <summary>Static method of the same class and signature that OpenCL compiles instead; without one the operation is for CUDA alone.</summary>
    public string? Portable { get; set; }
}
