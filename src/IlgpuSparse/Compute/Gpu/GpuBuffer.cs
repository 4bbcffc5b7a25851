using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>Memory of a <see cref="GpuDevice"/>.</summary>
internal sealed class GpuBuffer : DeviceBuffer
{
    /// <summary>Alignment of every operand, so that kernels may load 16 bytes at once.</summary>
    public const int Alignment = 16;

    private readonly GpuDevice _device;
    private readonly string _purpose;
    private readonly MemoryLedger _ledger;
    private readonly IntPtr _pinned;
    private readonly WeightArena? _arena;
    private readonly long _start;
    private MemoryBuffer? _memory;

    /// <summary>Allocates.</summary>
    /// <param name="device">Whose kernels use it.</param>
    /// <param name="bytes">Size.</param>
    /// <param name="purpose">What it is accounted for.</param>
    /// <param name="ledger">Where it is accounted.</param>
    /// <param name="onHost">Pinned host memory that kernels read and write in place (on the CPU accelerator memory like any other), instead of the device's own.</param>
    /// <param name="arena">Where it takes its place, if there is room.</param>
    /// <exception cref="InsufficientMemoryException">The device, or the host, has not that much.</exception>
    public GpuBuffer(GpuDevice device, long bytes, string purpose, MemoryLedger ledger, bool onHost = false, WeightArena? arena = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        _device = device;
        _purpose = purpose;
        _ledger = ledger;
        ByteLength = bytes;
        if (arena is not null && arena.TryTake(bytes, out _start)) _memory = (_arena = arena).Memory;
        else if (onHost && device.IsCuda) (_pinned, _memory) = Pin(device, bytes, purpose, ledger);
        else _memory = AllocateMemory(device, bytes, purpose, ledger);
        ledger.Add(purpose, bytes);
        if (device.FreshByte is { } value) Fill(value);
    }

    /// <inheritdoc/>
    public override long ByteLength { get; }

    /// <summary>What belongs to this buffer and is disposed with it; null for nothing.</summary>
    public IDisposable? Companion { get; set; }

    private MemoryBuffer Memory => _memory ?? throw new ObjectDisposedException(nameof(GpuBuffer), $"the buffer for {_purpose} is disposed");

    private nint Pointer => Memory.NativePtr + (nint)_start;

    /// <summary>Memory of the device for <paramref name="bytes"/>, noted nowhere.</summary>
    /// <exception cref="InsufficientMemoryException">The device has not that much.</exception>
    public static MemoryBuffer1D<byte, Stride1D.Dense> AllocateMemory(GpuDevice device, long bytes, string purpose, MemoryLedger ledger)
    {
        if (device.IsCapturing) throw new InvalidOperationException($"memory for {purpose} cannot be allocated while a CUDA graph is recorded");
        try
        {
            device.Before?.Invoke("allocate");
            return device.Accelerator.Allocate1D<byte>(Rounded(bytes));
        }
        catch (Exception e) when (e is AcceleratorException or OutOfMemoryException or OverflowException)
        {
            throw new InsufficientMemoryException($"cannot allocate {bytes:N0} bytes for {purpose} on {device.Report.Name}: {device.FreeMemory()}, {ledger.LiveBytes:N0} bytes in use here", e);
        }
    }

    /// <summary>The rest of <paramref name="span"/>'s buffer as elements of <typeparamref name="T"/>: what a kernel takes.</summary>
    public static ArrayView<T> View<T>(DeviceSpan span) where T : unmanaged
    {
        var buffer = (GpuBuffer)span.Buffer;
        return View<T>(span, (buffer.ByteLength - span.ByteOffset) / Unsafe.SizeOf<T>());
    }

    /// <summary><paramref name="count"/> elements of <typeparamref name="T"/> at <paramref name="span"/>.</summary>
    /// <exception cref="ArgumentException">The place is not aligned or the elements are not all inside the buffer.</exception>
    public static ArrayView<T> View<T>(DeviceSpan span, long count) where T : unmanaged
    {
        var buffer = (GpuBuffer)span.Buffer;
        if (span.ByteOffset % Alignment != 0)
            throw new ArgumentException($"byte {span.ByteOffset} of the buffer for {buffer._purpose} is not a multiple of {Alignment}", nameof(span));
        if (span.ByteOffset < 0 || count < 0 || count > (buffer.ByteLength - span.ByteOffset) / Unsafe.SizeOf<T>())
            throw new ArgumentException($"{count:N0} elements of {Unsafe.SizeOf<T>()} bytes from byte {span.ByteOffset:N0} are not inside the buffer for {buffer._purpose} of {buffer.ByteLength:N0} bytes", nameof(span));
        return buffer.Bytes(span.ByteOffset, count * Unsafe.SizeOf<T>()).Cast<T>();
    }

    /// <summary>The device address of <paramref name="buffer"/>, for kernels that copy by address.</summary>
    public static long Address(DeviceBuffer buffer) => ((GpuBuffer)buffer).Pointer;

    /// <inheritdoc/>
    /// <remarks>On CUDA the bytes pass through pinned memory: the call returns when <paramref name="source"/> has been read, and the copy runs in order with the kernels.</remarks>
    public override void Upload(ReadOnlySpan<byte> source, long offset = 0)
    {
        CheckRange(offset, source.Length);
        if (source.IsEmpty) return;
        if (_pinned != IntPtr.Zero) source.CopyTo(Pinned(offset, source.Length));
        else if (_device.Staging is { } staging) staging.Upload(source, Pointer + (nint)offset);
        else Bytes(offset, source.Length).CopyFromCPU(_device.Stream, source);
    }

    /// <inheritdoc/>
    public override void Download(Span<byte> target, long offset = 0)
    {
        CheckRange(offset, target.Length);
        if (target.IsEmpty) return;
        if (_pinned != IntPtr.Zero) Pinned(offset, target.Length).CopyTo(target);
        else Bytes(offset, target.Length).CopyToCPU(_device.Stream, target);
    }

    /// <inheritdoc/>
    public override void Clear() => Fill(0);

    private void Fill(byte value)
    {
        for (long start = 0; _pinned != IntPtr.Zero && start < ByteLength; start += int.MaxValue) Pinned(start, (int)Math.Min(int.MaxValue, ByteLength - start)).Fill(value);
        if (_pinned == IntPtr.Zero) Bytes(0, Rounded(ByteLength)).MemSet(_device.Stream, value);
    }

    /// <summary>Copies <paramref name="count"/> bytes from pinned host memory to the device on <paramref name="stream"/>; returns at once.</summary>
    public static void Copy(GpuBuffer source, GpuBuffer target, long offset, long count, AcceleratorStream stream)
    {
        source.CheckInside(offset, count);
        target.CheckInside(offset, count);
        if (stream is CudaStream cuda && source._pinned != IntPtr.Zero) CudaDriver.CopyToDevice(target.Pointer + (nint)offset, source.Pointer + (nint)offset, count, cuda.StreamPtr);
        else source.Bytes(offset, count).CopyTo(stream, target.Bytes(offset, count));
    }

    private ArrayView<byte> Bytes(long offset, long count) => Memory.AsArrayView<byte>(_start, Rounded(ByteLength)).SubView(offset, count);

    // The host's own view, once the device is done with it.
    private unsafe Span<byte> Pinned(long offset, int count)
    {
        ObjectDisposedException.ThrowIf(_memory is null, this);
        _device.Synchronize();
        return new Span<byte>((byte*)_pinned + offset, count);
    }

    // whole vectors, and never nothing: a view of no memory has no address
    private static long Rounded(long bytes) => Math.Max(Alignment, (bytes + Alignment - 1) & -Alignment);

    private static (IntPtr Pinned, MemoryBuffer Memory) Pin(GpuDevice device, long bytes, string purpose, MemoryLedger ledger)
    {
        if (device.IsCapturing) throw new InvalidOperationException($"memory for {purpose} cannot be allocated while a CUDA graph is recorded");
        try
        {
            device.Before?.Invoke("pin");
            device.Accelerator.Bind();
            var pinned = CudaDriver.AllocatePinned(Rounded(bytes));
            return (pinned, CPUMemoryBuffer.Create(device.Accelerator, pinned, Rounded(bytes), 1));
        }
        catch (Exception e) when (e is AcceleratorException or OutOfMemoryException or OverflowException or CudaDriverException)
        {
            throw new InsufficientMemoryException($"cannot pin {bytes:N0} bytes of host memory for {purpose}: {e.Message.TrimEnd('.')}; {ledger.LiveBytes:N0} bytes are pinned here", e);
        }
    }

    private void CheckRange(long offset, long length)
    {
        if (_device.IsCapturing) throw new InvalidOperationException($"a copy between the host and the buffer for {_purpose} cannot be part of a CUDA graph");
        CheckInside(offset, length);
    }

    private void CheckInside(long offset, long length)
    {
        if (offset < 0 || length < 0 || length > ByteLength - offset)
            throw new ArgumentOutOfRangeException(nameof(offset), $"bytes {offset} to {offset + length} are not inside the buffer for {_purpose} of {ByteLength}");
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        var memory = Interlocked.Exchange(ref _memory, null);
        if (memory is null) return;
        _ledger.Remove(_purpose, ByteLength);
        Companion?.Dispose();
        if (_pinned != IntPtr.Zero)
        {
            _device.Accelerator.Bind();
            _device.Settle(); // kernels may still write there
        }
        try
        {
            if (_pinned != IntPtr.Zero) CudaDriver.FreePinned(_pinned);
            if (_arena is null) memory.Dispose();
            else _arena.Release();
        }
        catch (Exception e) when (e is AcceleratorException or CudaDriverException)
        {
            // a context that has failed takes its memory along
        }
    }
}
