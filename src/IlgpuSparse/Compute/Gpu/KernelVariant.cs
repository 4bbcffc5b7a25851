using System.Reflection;
using System.Runtime.CompilerServices;
using ILGPU.Backends;
using ILGPU.Backends.EntryPoints;
using ILGPU.Backends.OpenCL;
using ILGPU.Backends.PTX;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using IlgpuSparse.Compute.Gpu.Kernels.Products;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>One kernel with its type arguments filled in, as it is compiled: the key of <see cref="KernelTable"/> and an entry of <see cref="KernelCatalog"/>.</summary>
/// <param name="Method">The closed static method, explicitly grouped.</param>
/// <param name="GroupSize">Threads a group, most of them: <c>.maxntid</c>.</param>
internal sealed record KernelVariant(MethodInfo Method, int GroupSize)
{
    /// <summary>Bytes of dynamic shared memory that a launch may ask for; above 48 KB the driver is told when the kernel is loaded.</summary>
    public int DynamicSharedBytes { get; init; }

    /// <summary>Groups that should fit on a multiprocessor at once, which bounds the registers; 0 for no bound.</summary>
    public int MinGroups { get; init; }

    /// <summary>
    /// Whether the next kernel of a graph starts when all groups of this one are at their end, not when all have begun: where the next one has several groups a multiprocessor, those that are free first would take
    /// more of them than their share. See <see cref="DependentLaunch"/>.
    /// </summary>
    public bool HoldsNext { get; init; }

    /// <summary>Groups of a <see cref="ThreadCluster"/>; 1 for none.</summary>
    public int ClusterSize { get; init; } = 1;

    /// <summary>Whether it has products of whole warpgroups, which only one compute capability knows: see <see cref="WarpgroupOps"/>.</summary>
    public bool HasWarpgroups { get; init; }

    /// <summary>Whether it has stages of weights copied by maps: see <see cref="TensorCopy"/>.</summary>
    public bool HasTensorCopies { get; init; }

    /// <summary>Whether there is code for devices of compute capability <paramref name="major"/>.<paramref name="minor"/>.</summary>
    public bool RunsOn(int major, int minor) => (ClusterSize == 1 || ThreadCluster.IsKnownTo(major)) && (!HasWarpgroups || WarpgroupProductKernel.IsKnownTo(major, minor)) && (!HasTensorCopies || TensorCopy.IsKnownTo(major));

    /// <summary>Largest trip count of constant loops that is unrolled.</summary>
    public int Unroll { get; init; } = 32;

    /// <summary>Whether it needs CUDA: warp shuffles or PTX operations without a portable form.</summary>
    public bool CudaOnly { get; init; }

    /// <summary>Class, method and type arguments: <c>AttendKernel.Run&lt;KvF16, Dim128&gt;</c>.</summary>
    public string Name => $"{Method.DeclaringType!.Name}.{Method.Name}{(Method.IsGenericMethod ? $"<{string.Join(", ", Method.GetGenericArguments().Select(NameOf))}>" : "")}";

    /// <summary>The variant of a method group, type arguments written out: <c>Of(Kernel.Run&lt;KvF16&gt;, 256)</c>.</summary>
    public static KernelVariant Of(Delegate kernel, int groupSize)
    {
        if (!kernel.Method.IsStatic) throw new ArgumentException($"{kernel.Method.Name} is not a static method", nameof(kernel));
        return new KernelVariant(kernel.Method, groupSize);
    }

    /// <summary>The variant of generic method <paramref name="method"/> of <paramref name="kernel"/> with these type arguments.</summary>
    public static KernelVariant Of(Type kernel, string method, int groupSize, params Type[] typeArguments) =>
        new(kernel.GetMethod(method, BindingFlags.Static | BindingFlags.Public)!.MakeGenericMethod(typeArguments), groupSize);

    /// <summary>Generates the code for <paramref name="backend"/>.</summary>
    /// <exception cref="NotSupportedException">A kernel of clusters, warpgroups or tensor maps, for a device that has none, or a driver that does not know them.</exception>
    public CompiledKernel Compile(Backend backend)
    {
        if (backend is PTXBackend { Architecture: var architecture } ptx && !(RunsOn(architecture.Major, architecture.Minor) && (ClusterSize == 1 || ThreadCluster.IsKnownTo(ptx)) && (!HasTensorCopies || BulkCopy.IsKnownTo(ptx))))
            throw new NotSupportedException($"{Name}: {(HasWarpgroups ? "products of warpgroups" : HasTensorCopies ? "copies by tensor maps" : $"clusters of {ClusterSize} groups")} are unknown to {architecture} with PTX {ptx.InstructionSet}");
        var compiled = Generate(backend);
        if (compiled is PTXCompiledKernel cuda && backend is PTXBackend cudaBackend)
        {
            ref string assembly = ref AssemblyOf(cuda);
            assembly = Complete(assembly, cudaBackend.Architecture, cudaBackend.InstructionSet);
        }
        if (compiled is CLCompiledKernel openCl)
        {
            // ILGPU's barriers order global memory alone, and nearly all of ours are for shared memory: a device may let the writes of other threads be seen later.
            ref string source = ref SourceOf(openCl);
            source = source.Replace("work_group_barrier ( CLK_GLOBAL_MEM_FENCE )", "work_group_barrier ( CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE )", StringComparison.Ordinal);
        }
        return compiled;
    }

    /// <summary>The code as ILGPU makes it. PTX is the same for sm_80 and for sm_90, but for the name of its target and what <see cref="Complete"/> makes of it.</summary>
    internal CompiledKernel Generate(Backend backend) => backend.Compile(
        EntryPointDescription.FromExplicitlyGroupedKernel(Method),
        new KernelSpecialization(GroupSize, MinGroups == 0 ? null : MinGroups),
        new KernelPasses(Unroll));

    /// <summary>PTX for a device: with early starts, copies in bulk, clusters and products of warpgroups where it has them, and without elsewhere.</summary>
    internal string Complete(string ptx, CudaArchitecture architecture, CudaInstructionSet set)
    {
        ptx = DependentLaunch.IsKnownTo(architecture.Major) ? DependentLaunch.Complete(ptx, HoldsNext) : DependentLaunch.Remove(ptx);
        if (!BulkCopy.IsKnownTo(architecture, set)) ptx = BulkCopy.Remove(ptx);
        if (HasWarpgroups) ptx = WarpgroupOps.Complete(ptx);
        return ClusterSize > 1 ? ThreadCluster.Declare(ptx, ClusterSize) : ptx;
    }

    // without a setter, and the constructor takes what only ILGPU has
    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "<Source>k__BackingField")]
    private static extern ref string SourceOf(CLCompiledKernel kernel);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "<PTXAssembly>k__BackingField")]
    private static extern ref string AssemblyOf(PTXCompiledKernel kernel);

    private static string NameOf(Type type) => type.IsGenericType
        ? $"{type.Name[..type.Name.IndexOf('`')]}<{string.Join(", ", type.GetGenericArguments().Select(NameOf))}>"
        : type.Name;
}
