using System.Reflection;
using System.Runtime.InteropServices;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// What ILGPU does not wrap of the CUDA driver library: function attributes, events, pinned memory, asynchronous copies and tensor maps; graphs are <see cref="CudaGraphDriver"/>'s. The caller has
/// bound the accelerator's context to its thread. Every call throws <see cref="CudaDriverException"/> with the driver's own name of the error.
/// </summary>
internal static unsafe partial class CudaDriver
{
    /// <summary>CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES.</summary>
    public const int AttributeSharedBytes = 1;

    /// <summary>CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES.</summary>
    public const int AttributeLocalBytes = 3;

    /// <summary>CU_FUNC_ATTRIBUTE_NUM_REGS.</summary>
    public const int AttributeRegisters = 4;

    private const int AttributeMaxDynamicSharedBytes = 8;
    private const int AttributeSharedCarveout = 9;
    private const int AttributeLargeClusters = 14; // CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED

    /// <summary>What imports call the driver library, whose file has another name on every system.</summary>
    internal const string Library = "cuda";

    static CudaDriver() => NativeLibrary.SetDllImportResolver(typeof(CudaDriver).Assembly, Resolve);

    private static string FileName => OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1";

    private static IntPtr Resolve(string name, Assembly assembly, DllImportSearchPath? path) => name == Library ? NativeLibrary.Load(FileName) : IntPtr.Zero;

    /// <summary>Whether there is a driver with at least one device; <paramref name="reason"/> says why not. Never throws.</summary>
    public static bool IsUsable(out string reason)
    {
        if (!NativeLibrary.TryLoad(FileName, out _))
        {
            reason = $"no CUDA driver ({FileName} not found)";
            return false;
        }
        try
        {
            Check(cuInit(0));
            int count;
            Check(cuDeviceGetCount(&count));
            reason = count > 0 ? "" : "the CUDA driver sees no device";
            return count > 0;
        }
        catch (Exception e) when (e is CudaDriverException or EntryPointNotFoundException or DllNotFoundException)
        {
            reason = e.Message;
            return false;
        }
    }

    /// <summary>CUDA version of the driver: 13000 for 13.0.</summary>
    public static int Version()
    {
        int version;
        Check(cuDriverGetVersion(&version));
        return version;
    }

    /// <summary>Most shared memory that a group can be given on request.</summary>
    public static int MaxSharedBytes(int device)
    {
        const int maxSharedMemoryPerBlockOptin = 97;
        int value;
        Check(cuDeviceGetAttribute(&value, maxSharedMemoryPerBlockOptin, device));
        return value;
    }

    public static int FunctionAttribute(IntPtr function, int attribute)
    {
        int value;
        Check(cuFuncGetAttribute(&value, attribute, function));
        return value;
    }

    /// <summary>
    /// Lets launches of <paramref name="function"/> ask for up to <paramref name="bytes"/> of dynamic shared memory, and asks for as much of a multiprocessor as there can be: groups of two kernels share one only where
    /// both want the same division between shared memory and L1.
    /// </summary>
    public static void AllowDynamicShared(IntPtr function, int bytes)
    {
        const int all = 100; // percent
        Check(cuFuncSetAttribute(function, AttributeMaxDynamicSharedBytes, bytes));
        Check(cuFuncSetAttribute(function, AttributeSharedCarveout, all));
    }

    /// <summary>Lets launches of <paramref name="function"/> have clusters of more than <see cref="ThreadCluster.PortableSize"/> groups, where the device has them.</summary>
    public static void AllowLargeClusters(IntPtr function) => Check(cuFuncSetAttribute(function, AttributeLargeClusters, 1));

    /// <summary>Clusters of <paramref name="groups"/> groups of <paramref name="threads"/> threads of <paramref name="function"/> that the device runs at once; 0 where it cannot run them.</summary>
    public static int ActiveClusters(IntPtr function, int groups, int threads, int dynamicSharedBytes)
    {
        // CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION and three numbers, in an attribute of 72 bytes
        var attribute = stackalloc int[18];
        new Span<int>(attribute, 18).Clear();
        (attribute[0], attribute[2], attribute[3], attribute[4]) = (4, groups, 1, 1);
        var launch = new LaunchConfig { GridX = (uint)groups, GridY = 1, GridZ = 1, BlockX = (uint)threads, BlockY = 1, BlockZ = 1, SharedBytes = (uint)dynamicSharedBytes, Attributes = (IntPtr)attribute, AttributeCount = 1 };
        int clusters = 0;
        return cuOccupancyMaxActiveClusters(&clusters, function, &launch) == 0 ? clusters : 0;
    }

    /// <summary>Groups of <paramref name="threads"/> threads of <paramref name="function"/> that a multiprocessor runs at once.</summary>
    public static int ActiveGroups(IntPtr function, int threads, int dynamicSharedBytes)
    {
        int groups;
        Check(cuOccupancyMaxActiveBlocksPerMultiprocessor(&groups, function, threads, (nuint)dynamicSharedBytes));
        return groups;
    }

    /// <summary>Free and total bytes of the bound device.</summary>
    public static (long Free, long Total) MemoryInfo()
    {
        nuint free, total;
        Check(cuMemGetInfo_v2(&free, &total));
        return ((long)free, (long)total);
    }

    public static IntPtr AllocatePinned(long bytes)
    {
        const uint portable = 1;
        IntPtr pointer;
        Check(cuMemHostAlloc(&pointer, (nuint)bytes, portable));
        return pointer;
    }

    public static void FreePinned(IntPtr pointer) => Check(cuMemFreeHost(pointer));

    public static void CopyToDevice(IntPtr device, void* host, long bytes, IntPtr stream) => Check(cuMemcpyHtoDAsync_v2(device, host, (nuint)bytes, stream));

    public static void CopyToDevice(IntPtr device, IntPtr host, long bytes, IntPtr stream) => CopyToDevice(device, (void*)host, bytes, stream);

    public static void CopyToHost(void* host, IntPtr device, long bytes, IntPtr stream) => Check(cuMemcpyDtoHAsync_v2(host, device, (nuint)bytes, stream));

    /// <summary>
    /// Writes the tensor map of <paramref name="map"/>, <see cref="StageMap.Size"/> bytes at a multiple of 64: numbers of two bytes, four rows, their halves, parts and blocks. Drivers know it from CUDA 12.0 on; false for one that
    /// will not have such a map: documents ask for distances that are multiples of each other, which some of these are not and no driver has been met that minded.
    /// </summary>
    public static bool TryEncodeStageMap(StageMap map, void* target)
    {
        const int words = 2, lines128 = 2, invalidValue = 1; // CU_TENSOR_MAP_DATA_TYPE_UINT32, CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CUDA_ERROR_INVALID_VALUE
        var counts = stackalloc ulong[] { (ulong)map.RowBytes / 4, 4, 2, (ulong)map.Parts, (ulong)map.Blocks };
        var steps = stackalloc ulong[] { (ulong)map.Row, (ulong)map.Half, (ulong)map.Part, (ulong)map.Block };
        var box = stackalloc uint[] { (uint)map.Units * 4, 4, 2, 1, 1 };
        var ones = stackalloc uint[] { 1, 1, 1, 1, 1 };
        int result = cuTensorMapEncodeTiled(target, words, 5, (void*)map.Address, counts, steps, box, ones, 0, 0, lines128, 0);
        if (result == invalidValue) return false;
        Check(result);
        return true;
    }

    public static IntPtr CreateEvent(bool timing)
    {
        const uint disableTiming = 2;
        IntPtr handle;
        Check(cuEventCreate(&handle, timing ? 0 : disableTiming));
        return handle;
    }

    /// <summary>An event whose waits give the processor away.</summary>
    public static IntPtr CreateBlockingEvent()
    {
        const uint blockingSync = 1, disableTiming = 2;
        IntPtr handle;
        Check(cuEventCreate(&handle, blockingSync | disableTiming));
        return handle;
    }

    public static void DestroyEvent(IntPtr handle) => Check(cuEventDestroy_v2(handle));

    public static void RecordEvent(IntPtr handle, IntPtr stream) => Check(cuEventRecord(handle, stream));

    /// <summary>Has what follows on <paramref name="stream"/> wait for <paramref name="handle"/>; the host does not.</summary>
    public static void WaitOnStream(IntPtr stream, IntPtr handle) => Check(cuStreamWaitEvent(stream, handle, 0));

    public static void WaitForEvent(IntPtr handle) => Check(cuEventSynchronize(handle));

    /// <summary>Milliseconds between two recorded events.</summary>
    public static float Elapsed(IntPtr start, IntPtr end)
    {
        float milliseconds;
        Check(cuEventElapsedTime(&milliseconds, start, end));
        return milliseconds;
    }

    /// <summary>Throws unless <paramref name="result"/>, of a call of the driver library, is success.</summary>
    internal static void Check(int result)
    {
        if (result == 0) return;
        IntPtr name = IntPtr.Zero, text = IntPtr.Zero;
        _ = cuGetErrorName(result, &name);
        _ = cuGetErrorString(result, &text);
        throw new CudaDriverException(result, Marshal.PtrToStringAnsi(name) ?? "unknown error", Marshal.PtrToStringAnsi(text) ?? "");
    }

    [LibraryImport(Library)]
    private static partial int cuInit(uint flags);

    [LibraryImport(Library)]
    private static partial int cuDriverGetVersion(int* version);

    [LibraryImport(Library)]
    private static partial int cuDeviceGetCount(int* count);

    [LibraryImport(Library)]
    private static partial int cuDeviceGetAttribute(int* value, int attribute, int device);

    [LibraryImport(Library)]
    private static partial int cuGetErrorName(int result, IntPtr* name);

    [LibraryImport(Library)]
    private static partial int cuGetErrorString(int result, IntPtr* text);

    [LibraryImport(Library)]
    private static partial int cuFuncGetAttribute(int* value, int attribute, IntPtr function);

    [LibraryImport(Library)]
    private static partial int cuFuncSetAttribute(IntPtr function, int attribute, int value);

    [LibraryImport(Library)]
    private static partial int cuOccupancyMaxActiveClusters(int* clusters, IntPtr function, LaunchConfig* config);

    [LibraryImport(Library)]
    private static partial int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* groups, IntPtr function, int threads, nuint dynamicSharedBytes);

    [LibraryImport(Library)]
    private static partial int cuMemGetInfo_v2(nuint* free, nuint* total);

    [LibraryImport(Library)]
    private static partial int cuMemHostAlloc(IntPtr* pointer, nuint bytes, uint flags);

    [LibraryImport(Library)]
    private static partial int cuMemFreeHost(IntPtr pointer);

    [LibraryImport(Library)]
    private static partial int cuMemcpyHtoDAsync_v2(IntPtr device, void* host, nuint bytes, IntPtr stream);

    [LibraryImport(Library)]
    private static partial int cuMemcpyDtoHAsync_v2(void* host, IntPtr device, nuint bytes, IntPtr stream);

    [LibraryImport(Library)]
    private static partial int cuTensorMapEncodeTiled(void* map, int type, uint rank, void* address, ulong* counts, ulong* steps, uint* box, uint* elementSteps, int interleave, int swizzle, int promotion, int fill);

    [LibraryImport(Library)]
    private static partial int cuEventCreate(IntPtr* handle, uint flags);

    [LibraryImport(Library)]
    private static partial int cuEventDestroy_v2(IntPtr handle);

    [LibraryImport(Library)]
    private static partial int cuEventRecord(IntPtr handle, IntPtr stream);

    [LibraryImport(Library)]
    private static partial int cuStreamWaitEvent(IntPtr stream, IntPtr handle, uint flags);

    [LibraryImport(Library)]
    private static partial int cuEventSynchronize(IntPtr handle);

    [LibraryImport(Library)]
    private static partial int cuEventElapsedTime(float* milliseconds, IntPtr start, IntPtr end);

    // CUlaunchConfig
    private struct LaunchConfig
    {
        public uint GridX, GridY, GridZ, BlockX, BlockY, BlockZ, SharedBytes;
        public IntPtr Stream, Attributes;
        public uint AttributeCount;
    }
}
