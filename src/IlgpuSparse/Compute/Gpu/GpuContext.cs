using System.Reflection;
using System.Runtime.InteropServices;
using ILGPU;
using ILGPU.Backends.OpenCL;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>ILGPU contexts as this library needs them, and what devices there are.</summary>
internal static class GpuContext
{
    static GpuContext()
    {
        try
        {
            NativeLibrary.SetDllImportResolver(typeof(Context).Assembly, ResolveOpenCl);
        }
        catch (InvalidOperationException)
        {
            // The application has set a resolver for ILGPU already; it is that one's to find OpenCL.
        }
    }

    /// <summary>A context with the devices of <paramref name="kind"/>, or with none: enough to generate code. The CPU accelerator runs <paramref name="groups"/> groups at once.</summary>
    public static Context Create(GpuKind? kind = null, int groups = 1) => Context.Create(builder =>
    {
        builder.Optimize(OptimizationLevel.O1).EnableAlgorithms();
        // The verifier looks at a kernel after every pass: better none than one that computes something else. The CPU accelerator runs the C# itself, and takes from what is looked at nothing but sizes.
        if (kind != GpuKind.CpuAccelerator) builder.Verify();
        PtxIntrinsics.Register(builder);
        switch (kind)
        {
            case GpuKind.Cuda when CudaDriver.IsUsable(out _): builder.Cuda(); break;
            case GpuKind.OpenCl: builder.OpenCL(device => Refusal(device) is null); break;
            // 32 lanes as the kernels assume; groups of up to 128 threads, each a thread of the operating system
            case GpuKind.CpuAccelerator: builder.CPU(new CPUDevice(32, 4, groups)); break;
        }
    });

    /// <summary>The devices of every kind, and why the others are not taken.</summary>
    public static IReadOnlyList<DeviceReport> Find() => [.. FindCuda(), .. FindOpenCl(), new(GpuKind.CpuAccelerator, 0, "ILGPU CPU accelerator", false, "for tests of kernels")];

    private static List<DeviceReport> FindCuda()
    {
        if (!CudaDriver.IsUsable(out string reason)) return [new(GpuKind.Cuda, -1, "", true, reason)];
        using var context = Context.Create(builder => builder.Cuda());
        int version = CudaDriver.Version();
        var found = new List<DeviceReport>();
        foreach (var device in context.GetCudaDevices())
        {
            found.Add(new DeviceReport(GpuKind.Cuda, found.Count, device.Name, true,
                $"sm_{device.Architecture?.Major}{device.Architecture?.Minor}, {device.MemorySize >> 20:N0} MiB, driver for CUDA {version / 1000}.{version % 1000 / 10}"));
        }
        return found;
    }

    private static List<DeviceReport> FindOpenCl()
    {
        string library = OperatingSystem.IsWindows() ? "OpenCL.dll" : OperatingSystem.IsMacOS() ? "/System/Library/Frameworks/OpenCL.framework/OpenCL" : "libOpenCL.so.1";
        if (!NativeLibrary.TryLoad(library, out _)) return [new(GpuKind.OpenCl, -1, "", true, $"no OpenCL loader ({library} not found)")];
        using var context = Context.Create(builder => builder.OpenCL(_ => true));
        var found = new List<DeviceReport>();
        int index = 0;
        foreach (var device in context.GetCLDevices())
        {
            string? refusal = Refusal(device);
            found.Add(new DeviceReport(GpuKind.OpenCl, refusal is null ? index++ : -1, device.Name, device.DeviceType.HasFlag(CLDeviceType.CL_DEVICE_TYPE_GPU),
                refusal ?? $"{device.PlatformName}, OpenCL C {device.CLStdVersion}, {device.MemorySize >> 20:N0} MiB"));
        }
        if (found.Count == 0) found.Add(new DeviceReport(GpuKind.OpenCl, -1, "", true, "OpenCL lists no device"));
        return found;
    }

    // What ILGPU's generated code needs: generic pointers.
    private static string? Refusal(CLDevice device) =>
        device.CLStdVersion < CLCVersion.CL20 ? $"OpenCL C {device.CLStdVersion}, 2.0 is needed"
        : !device.Capabilities.GenericAddressSpace ? "no generic address space"
        : null;

    // ILGPU asks for libOpenCL.so, which distributions put into development packages only.
    private static IntPtr ResolveOpenCl(string name, Assembly assembly, DllImportSearchPath? path)
    {
        if (name != "OpenCL" || !OperatingSystem.IsLinux()) return IntPtr.Zero;
        return NativeLibrary.TryLoad("libOpenCL.so.1", out var library) ? library : IntPtr.Zero;
    }
}
