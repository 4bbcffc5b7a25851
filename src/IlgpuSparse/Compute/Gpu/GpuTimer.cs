using System.Diagnostics;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>Time between two places of the device's stream: by events on CUDA, by the host's clock with waits elsewhere.</summary>
internal sealed class GpuTimer : IDisposable
{
    private readonly GpuDevice _device;
    private readonly IntPtr _start;
    private readonly IntPtr _stop;
    private long _startTicks;
    private long _stopTicks;
    private bool _disposed;

    public GpuTimer(GpuDevice device)
    {
        _device = device;
        if (!device.IsCuda) return;
        device.Accelerator.Bind();
        _start = CudaDriver.CreateEvent(timing: true);
        _stop = CudaDriver.CreateEvent(timing: true);
    }

    /// <summary>Microseconds from <see cref="Start"/> to <see cref="Stop"/>; waits for the work between.</summary>
    public double Microseconds
    {
        get
        {
            if (!_device.IsCuda) return (_stopTicks - _startTicks) * 1e6 / Stopwatch.Frequency;
            _device.Accelerator.Bind();
            CudaDriver.WaitForEvent(_stop);
            return CudaDriver.Elapsed(_start, _stop) * 1e3;
        }
    }

    /// <summary>Marks the beginning.</summary>
    public void Start() => Mark(_start, ref _startTicks);

    /// <summary>Marks the end.</summary>
    public void Stop() => Mark(_stop, ref _stopTicks);

    private void Mark(IntPtr handle, ref long ticks)
    {
        if (_device.IsCuda)
        {
            _device.Accelerator.Bind();
            CudaDriver.RecordEvent(handle, _device.StreamHandle);
            return;
        }
        _device.Synchronize();
        ticks = Stopwatch.GetTimestamp();
    }

    public void Dispose()
    {
        if (_disposed || !_device.IsCuda) return;
        _disposed = true;
        _device.Accelerator.Bind();
        CudaDriver.DestroyEvent(_start);
        CudaDriver.DestroyEvent(_stop);
    }
}
