using System.Collections.Concurrent;
using System.Text.RegularExpressions;
using ILGPU;
using ILGPU.Backends;
using ILGPU.Backends.OpenCL;
using ILGPU.Backends.PTX;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;
using IlgpuSparse.Compute.Gpu;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>The PTX and OpenCL C of kernel variants, generated as on a device but without any.</summary>
internal static partial class KernelCode
{
    // a context compiles one kernel at a time: one for each thread that does
    private static readonly ConcurrentBag<Context> s_contexts = [];
    private static readonly ConcurrentDictionary<KernelVariant, Lazy<string>> s_known = new();
    private static readonly CudaArchitecture s_newest = new(9, 0);

    /// <summary>PTX for an architecture, e.g. 8, 0. What ILGPU makes is made once, and completed for each: it is the same but for the target's name (<see cref="KernelCodeTests.PtxIsTheSameForAllArchitectures"/>).</summary>
    /// <exception cref="NotSupportedException">The architecture does not have what the kernel needs.</exception>
    public static string Ptx(KernelVariant variant, int major = 8, int minor = 0)
    {
        var architecture = new CudaArchitecture(major, minor);
        if (!variant.RunsOn(major, minor)) return InContext(context => InBackend(context, architecture, Versions[0], variant.Compile));
        string ptx = s_known.GetOrAdd(variant, key => new Lazy<string>(() => InContext(context => InBackend(context, s_newest, Versions[0], key.Generate)))).Value;
        if (major < s_newest.Major) ptx = Target().Replace(ptx, $".target sm_{major}{minor}", 1);
        return variant.Complete(ptx, architecture, Versions[0]);
    }

    /// <summary>What ILGPU makes for architectures, side by side: declarations do not stand in the same order in every context.</summary>
    public static string[] Texts(KernelVariant variant, params CudaArchitecture[] architectures) => InContext(context => architectures.Select(architecture => InBackend(context, architecture, Versions[0], variant.Generate)).ToArray());

    /// <summary>OpenCL C for a vendor that ILGPU has no shuffles for.</summary>
    public static string OpenCl(KernelVariant variant) => InContext(context =>
    {
        using var backend = OpenClBackend(context);
        return ((CLCompiledKernel)variant.Compile(backend)).Source;
    });

    /// <summary>ILGPU's backend for that vendor.</summary>
    public static CLBackend OpenClBackend(Context context) =>
        new(context, new CLCapabilityContext(float16: false, float64: false, genericAddressSpace: true, int64_Atomics: true, subGroups: false), CLDeviceVendor.AMD, CLCVersion.CL20);

    /// <summary>Runs <paramref name="check"/> for all variants, on all cores.</summary>
    public static void Each(IEnumerable<KernelVariant> variants, Action<KernelVariant> check) =>
        Parallel.ForEach(Partitioner.Create(variants, EnumerablePartitionerOptions.NoBuffering), new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, check);

    /// <summary>The body of the kernel entry, without the stubs that ILGPU leaves for own intrinsics.</summary>
    public static string Entry(string ptx) => ptx[ptx.IndexOf(".entry", StringComparison.Ordinal)..];

    /// <summary>
    /// What no kernel may contain: local memory, calls, generic-address loads and stores, branches marked uniform, double precision, more static shared memory than a group can have, constants
    /// where an instruction on halves wants a register, registers that are read and never written.
    /// </summary>
    public static IEnumerable<string> Faults(string ptx)
    {
        foreach (Match match in Local().Matches(ptx)) yield return "local memory: " + match.Value.Trim();
        string entry = Entry(ptx);
        foreach (Match match in Generic().Matches(entry)) yield return "generic address: " + match.Value.Trim();
        foreach (Match match in Call().Matches(entry)) yield return "call: " + match.Value.Trim();
        foreach (Match match in Uniform().Matches(entry)) yield return "uniform branch: " + match.Value.Trim();
        foreach (Match match in Double().Matches(entry)) yield return "double precision: " + match.Value.Trim();
        int shared = Shared().Matches(ptx).Sum(match => int.Parse(match.Groups[1].ValueSpan, System.Globalization.CultureInfo.InvariantCulture));
        if (shared > 48 * 1024) yield return $"shared memory: {shared} bytes";
        foreach (Match match in HalfConstant().Matches(entry)) yield return "constant half: " + match.Value.Trim();
        foreach (string register in UnwrittenValues.OfPtx(entry)) yield return "never written: " + register;
    }

    /// <summary>How often <paramref name="instruction"/> stands in the kernel.</summary>
    public static int Count(string ptx, string instruction) => Regex.Count(Entry(ptx), $@"^\s+(@!?%\w+\s+)?(\{{ .*; )?{Regex.Escape(instruction)}(?=[\s;])", RegexOptions.Multiline);

    /// <summary>A clang on the path, of whatever version; null without one.</summary>
    public static string? FindClang()
    {
        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        string[] names = ["clang", .. Enumerable.Range(14, 12).Reverse().Select(version => $"clang-{version}")];
        return names.SelectMany(name => folders.Select(folder => Path.Combine(folder, OperatingSystem.IsWindows() ? name + ".exe" : name))).FirstOrDefault(File.Exists);
    }

    /// <summary>PTX of a version that a driver knows, for sm_90.</summary>
    public static string PtxOf(KernelVariant variant, CudaInstructionSet version) => InContext(context => InBackend(context, s_newest, version, variant.Compile));

    // the newest first
    private static IReadOnlyList<CudaInstructionSet> Versions { get; } = [.. PTXCodeGenerator.SupportedInstructionSets];

    private static string InBackend(Context context, CudaArchitecture architecture, CudaInstructionSet version, Func<Backend, CompiledKernel> compile)
    {
        using var backend = new PTXBackend(context, new CudaCapabilityContext(architecture), architecture, version, null);
        return ((PTXCompiledKernel)compile(backend)).PTXAssembly;
    }

    private static T InContext<T>(Func<Context, T> generate)
    {
        if (!s_contexts.TryTake(out var context)) context = GpuContext.Create();
        var code = generate(context);
        s_contexts.Add(context);
        return code;
    }

    [GeneratedRegex(@"^\.target sm_\d+", RegexOptions.Multiline)]
    private static partial Regex Target();

    [GeneratedRegex(@"^.*\.local\s.*$", RegexOptions.Multiline)]
    private static partial Regex Local();

    [GeneratedRegex(@"^\s+(@!?%\w+\s+)?(ld|st)(\.volatile)?(\.v[24])?\.[bufs]\d+.*$", RegexOptions.Multiline)]
    private static partial Regex Generic();

    [GeneratedRegex(@"^\s+(@!?%\w+\s+)?call(\.uni)?\s.*$", RegexOptions.Multiline)]
    private static partial Regex Call();

    [GeneratedRegex(@"^\s+@!?%\w+\s+bra\.uni.*$", RegexOptions.Multiline)]
    private static partial Regex Uniform();

    [GeneratedRegex(@"^\s*\.shared\s.*\[(\d+)\];", RegexOptions.Multiline)]
    private static partial Regex Shared();

    [GeneratedRegex(@"(?<![\w.])(?!wgmma\.)[\w.]+\.b?f16(x2)?\s[^;]*,\s*[-0-9][^;]*;")]
    private static partial Regex HalfConstant();

    [GeneratedRegex(@"^.*\.f64\b.*$", RegexOptions.Multiline)]
    private static partial Regex Double();
}
