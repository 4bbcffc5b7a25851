using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// The part of the CUDA driver library that records a stream into a graph, changes, instantiates and launches it: what <see cref="CudaGraph"/> is made of. Contexts and errors are as in <see cref="CudaDriver"/>.
/// </summary>
internal static unsafe partial class CudaGraphDriver
{
    // which says where imports find the library
    static CudaGraphDriver() => RuntimeHelpers.RunClassConstructor(typeof(CudaDriver).TypeHandle);

    public static void BeginCapture(IntPtr stream)
    {
        const int relaxed = 2; // other threads may go on allocating
        CudaDriver.Check(cuStreamBeginCapture_v2(stream, relaxed));
    }

    public static IntPtr EndCapture(IntPtr stream)
    {
        IntPtr graph;
        CudaDriver.Check(cuStreamEndCapture(stream, &graph));
        return graph;
    }

    /// <summary>Ends a recording that failed; its graph and any further error are dropped.</summary>
    public static void AbandonCapture(IntPtr stream)
    {
        IntPtr graph = IntPtr.Zero;
        if (cuStreamEndCapture(stream, &graph) == 0 && graph != IntPtr.Zero) _ = cuGraphDestroy(graph);
    }

    public static IntPtr Instantiate(IntPtr graph)
    {
        IntPtr executable;
        CudaDriver.Check(cuGraphInstantiateWithFlags(&executable, graph, 0));
        return executable;
    }

    /// <summary>Gives <paramref name="executable"/> the parameters of <paramref name="graph"/>; false when their nodes differ.</summary>
    public static bool TryUpdate(IntPtr executable, IntPtr graph)
    {
        const int updateFailure = 910; // CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE
        var info = stackalloc long[3]; // result, node, node it depends on
        int result = cuGraphExecUpdate_v2(executable, graph, info);
        if (result == updateFailure) return false;
        CudaDriver.Check(result);
        return true;
    }

    /// <summary>Nodes of <paramref name="graph"/>.</summary>
    public static int NodeCount(IntPtr graph)
    {
        nuint count = 0;
        CudaDriver.Check(cuGraphGetNodes(graph, null, &count));
        return (int)count;
    }

    /// <summary>Lets kernels that depend on kernels start early: see <see cref="DependentLaunch"/>. The other edges of <paramref name="graph"/> stay as they are.</summary>
    public static void LetKernelsStartEarly(IntPtr graph)
    {
        const int kernel = 0;
        const ulong programmatic = 1 | 1 << 16; // from port, to port and type, a byte each
        nuint count = 0;
        CudaDriver.Check(cuGraphGetEdges_v2(graph, null, null, null, &count));
        var from = new IntPtr[(int)count];
        var to = new IntPtr[from.Length];
        var data = new ulong[from.Length];
        fixed (IntPtr* source = from, target = to)
        fixed (ulong* edge = data)
        {
            CudaDriver.Check(cuGraphGetEdges_v2(graph, source, target, edge, &count));
            for (int i = 0; i < from.Length; i++)
            {
                int first, second;
                CudaDriver.Check(cuGraphNodeGetType(from[i], &first));
                CudaDriver.Check(cuGraphNodeGetType(to[i], &second));
                if (first != kernel || second != kernel) continue;
                // where a recording branches and joins, kernels wait for whole ones: only a single predecessor may be one that has not finished
                if (Array.FindAll(from, node => node == from[i]).Length > 1 || Array.FindAll(to, node => node == to[i]).Length > 1) continue;
                CudaDriver.Check(cuGraphRemoveDependencies_v2(graph, source + i, target + i, edge + i, 1));
                ulong early = programmatic;
                CudaDriver.Check(cuGraphAddDependencies_v2(graph, source + i, target + i, &early, 1));
            }
        }
    }

    public static void LaunchGraph(IntPtr executable, IntPtr stream) => CudaDriver.Check(cuGraphLaunch(executable, stream));

    public static void DestroyGraph(IntPtr graph) => CudaDriver.Check(cuGraphDestroy(graph));

    public static void DestroyExecutable(IntPtr executable) => CudaDriver.Check(cuGraphExecDestroy(executable));

    [LibraryImport(CudaDriver.Library)]
    private static partial int cuStreamBeginCapture_v2(IntPtr stream, int mode);

    [LibraryImport(CudaDriver.Library)]
    private static partial int cuStreamEndCapture(IntPtr stream, IntPtr* graph);

    [LibraryImport(CudaDriver.Library)]
    private static partial int cuGraphInstantiateWithFlags(IntPtr* executable, IntPtr graph, ulong flags);

    [LibraryImport(CudaDriver.Library)]
    private static partial int cuGraphExecUpdate_v2(IntPtr executable, IntPtr graph, void* info);

    [LibraryImport(CudaDriver.Library)]
    private static partial int cuGraphGetNodes(IntPtr graph, IntPtr* nodes, nuint* count);

    [LibraryImport(CudaDriver.Library)]
    private static partial int cuGraphGetEdges_v2(IntPtr graph, IntPtr* from, IntPtr* to, ulong* data, nuint* count);

    [LibraryImport(CudaDriver.Library)]
    private static partial int cuGraphNodeGetType(IntPtr node, int* type);

    [LibraryImport(CudaDriver.Library)]
    private static partial int cuGraphRemoveDependencies_v2(IntPtr graph, IntPtr* from, IntPtr* to, ulong* data, nuint count);

    [LibraryImport(CudaDriver.Library)]
    private static partial int cuGraphAddDependencies_v2(IntPtr graph, IntPtr* from, IntPtr* to, ulong* data, nuint count);

    [LibraryImport(CudaDriver.Library)]
    private static partial int cuGraphLaunch(IntPtr executable, IntPtr stream);

    [LibraryImport(CudaDriver.Library)]
    private static partial int cuGraphDestroy(IntPtr graph);

    [LibraryImport(CudaDriver.Library)]
    private static partial int cuGraphExecDestroy(IntPtr executable);
}
