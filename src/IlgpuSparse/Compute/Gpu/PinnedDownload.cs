namespace IlgpuSparse.Compute.Gpu;

/// <summary>Copies to page-locked memory on the device's stream; the wait sleeps until the copy is done instead of asking for it over and over.</summary>
internal sealed unsafe class PinnedDownload : DeferredDownload
{
    private readonly GpuDevice _device;
    private readonly int _count;
    private IntPtr _memory, _copied;

    public PinnedDownload(GpuDevice device, DeviceBuffer source) : base(source)
    {
        _device = device;
        _count = (int)(source.ByteLength / sizeof(int));
        device.Accelerator.Bind();
        _memory = CudaDriver.AllocatePinned(source.ByteLength);
        _copied = CudaDriver.CreateBlockingEvent();
    }

    public override void Start()
    {
        _device.Accelerator.Bind();
        CudaDriver.CopyToHost((void*)_memory, checked((IntPtr)GpuBuffer.Address(Source)), _count * sizeof(int), _device.StreamHandle);
        CudaDriver.RecordEvent(_copied, _device.StreamHandle);
    }

    public override ReadOnlySpan<int> Wait()
    {
        _device.Accelerator.Bind();
        CudaDriver.WaitForEvent(_copied);
        return new ReadOnlySpan<int>((void*)_memory, _count);
    }

    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        if (_memory == IntPtr.Zero) return;
        _device.Accelerator.Bind();
        CudaDriver.WaitForEvent(_copied); // a copy that nobody waited for still writes there
        CudaDriver.DestroyEvent(_copied);
        CudaDriver.FreePinned(_memory);
        _memory = _copied = IntPtr.Zero;
    }
}
