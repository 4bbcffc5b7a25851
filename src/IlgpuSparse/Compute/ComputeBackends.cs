using System.Globalization;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Compute.Gpu;

namespace IlgpuSparse.Compute;

/// <summary>Backends by name, as a command line gives them.</summary>
public static class ComputeBackends
{
    /// <summary>The names that <see cref="Create"/> knows.</summary>
    public static IReadOnlyList<string> Names { get; } = ["auto", "cpu", "cuda", "opencl", "ilgpu-cpu"];

    /// <summary>
    /// Opens a backend. <c>auto</c> takes a CUDA device, else an OpenCL GPU, else the managed CPU code. <c>cuda:1</c> and <c>opencl:1</c> name a further device; the list is
    /// <see cref="GpuDevice.Find"/>. <c>ilgpu-cpu</c> runs the GPU kernels on ILGPU's CPU accelerator, thousands of times slower than <c>cpu</c>: it is there to test kernels.
    /// </summary>
    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <param name="threads">Worker threads of the CPU backend; 0 for one a core.</param>
    /// <param name="notTaken">Told of every device that <c>auto</c> passed over, with the reason.</param>
    /// <param name="precision">Of products of many rows on tensor cores.</param>
    /// <exception cref="ArgumentException">There is no such name.</exception>
    /// <exception cref="InvalidOperationException">There is no such device; the message has the reason.</exception>
    public static ComputeBackend Create(string name, int threads = 0, Action<string>? notTaken = null, ProductPrecision precision = ProductPrecision.Single)
    {
        ArgumentNullException.ThrowIfNull(name);
        string kind = name;
        int index = 0;
        int colon = name.IndexOf(':', StringComparison.Ordinal);
        if (colon >= 0)
        {
            kind = name[..colon];
            if (kind is not ("cuda" or "opencl") || !int.TryParse(name.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out index)) throw Unknown(name);
        }
        return kind switch
        {
            "auto" => Choose(threads, notTaken, precision),
            "cpu" => new CpuBackend(threads),
            "cuda" => GpuBackend.Create(GpuDevice.Open(GpuKind.Cuda, index), precision: precision),
            "opencl" => GpuBackend.Create(GpuDevice.Open(GpuKind.OpenCl, index)),
            "ilgpu-cpu" => GpuBackend.Create(GpuDevice.Open(GpuKind.CpuAccelerator)),
            _ => throw Unknown(name),
        };
    }

    private static ComputeBackend Choose(int threads, Action<string>? notTaken, ProductPrecision precision)
    {
        // the list has CUDA devices before OpenCL ones
        foreach (var report in GpuDevice.Find().Where(report => report.Kind != GpuKind.CpuAccelerator))
        {
            if (!report.Usable)
            {
                notTaken?.Invoke(report.ToString());
            }
            else if (!report.IsGpu)
            {
                notTaken?.Invoke($"{report}: not a GPU");
            }
            else
            {
                try
                {
                    return GpuBackend.Create(GpuDevice.Open(report.Kind, report.Index), precision: precision);
                }
                catch (Exception e) when (e is ILGPU.Runtime.AcceleratorException or CudaDriverException or InvalidOperationException or NotSupportedException)
                {
                    notTaken?.Invoke($"{report}: {e.Message}");
                }
            }
        }
        return new CpuBackend(threads);
    }

    private static ArgumentException Unknown(string name) => new($"no backend {name}: {string.Join(", ", Names)}, cuda:N or opencl:N", nameof(name));
}
