using System.Diagnostics;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// Operations recorded once and launched together: one driver call instead of one for each kernel. Arguments are those of the recording, so whatever changes between launches (positions, block
/// tables, lengths) has to be read from device memory.
/// </summary>
internal sealed class CudaGraph : RecordedWork
{
    private readonly GpuDevice _device;
    private IntPtr _executable;
    private int _nodes;

    /// <summary>
    /// Records what <paramref name="work"/> puts on the device's stream. It must have run once before, so that its kernels are loaded and its scratch memory is allocated.
    /// </summary>
    /// <exception cref="CudaDriverException">The driver cannot record it.</exception>
    public CudaGraph(GpuDevice device, Action work)
    {
        if (!device.IsCuda) throw new NotSupportedException($"graphs need CUDA, not {device.Kind}");
        _device = device;
        long start = Stopwatch.GetTimestamp();
        var graph = Record(work);
        try
        {
            _nodes = CudaGraphDriver.NodeCount(graph);
            _executable = CudaGraphDriver.Instantiate(graph);
        }
        finally
        {
            CudaGraphDriver.DestroyGraph(graph);
            device.NotePreparation(start);
        }
    }

    public override int Nodes => _nodes;

    /// <summary>Runs it on the device's stream.</summary>
    public override void Run()
    {
        ObjectDisposedException.ThrowIf(_executable == IntPtr.Zero, this);
        _device.Accelerator.Bind();
        CudaGraphDriver.LaunchGraph(_executable, _device.StreamHandle);
    }

    /// <summary>
    /// Takes the arguments and grids of a new recording; when it has other kernels than the old one, the whole graph is made anew. Cheaper than a new graph while contexts grow.
    /// </summary>
    public override void Update(Action work)
    {
        ObjectDisposedException.ThrowIf(_executable == IntPtr.Zero, this);
        long start = Stopwatch.GetTimestamp();
        var graph = Record(work);
        try
        {
            if (CudaGraphDriver.TryUpdate(_executable, graph)) return;
            _device.Synchronize(); // it may still run
            CudaGraphDriver.DestroyExecutable(_executable);
            _executable = IntPtr.Zero;
            _executable = CudaGraphDriver.Instantiate(graph);
            _nodes = CudaGraphDriver.NodeCount(graph);
        }
        finally
        {
            CudaGraphDriver.DestroyGraph(graph);
            _device.NotePreparation(start);
        }
    }

    private IntPtr Record(Action work)
    {
        _device.Accelerator.Bind();
        CudaGraphDriver.BeginCapture(_device.StreamHandle);
        _device.IsCapturing = true;
        try
        {
            work();
        }
        catch
        {
            // the stream has to leave its recording state whatever happened; the first error is the one to report
            _device.IsCapturing = false;
            CudaGraphDriver.AbandonCapture(_device.StreamHandle);
            throw;
        }
        _device.IsCapturing = false;
        var graph = CudaGraphDriver.EndCapture(_device.StreamHandle);
        if (_device.StartsKernelsEarly) CudaGraphDriver.LetKernelsStartEarly(graph);
        return graph;
    }

    public override void Dispose()
    {
        if (_executable == IntPtr.Zero) return;
        _device.Accelerator.Bind();
        _device.Settle(); // it may still run
        CudaGraphDriver.DestroyExecutable(_executable);
        _executable = IntPtr.Zero;
    }
}
