using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ILGPU.Runtime;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// Maps of weights in device memory (<see cref="StageMap"/>), which are made when a launch first needs them and kept: they say where something lies, not what, and a recorded graph may point to them.
/// </summary>
/// <param name="device">The device, whose kernels may have copies of the copy engine (<see cref="GpuDevice.CopiesInBulk"/>).</param>
/// <param name="ledger">Where their memory is accounted.</param>
internal sealed unsafe class StageMaps(GpuDevice device, MemoryLedger ledger) : IDisposable
{
    /// <summary>Maps that memory is allocated for at a time: more than a model of 80 layers has.</summary>
    private const int Room = 512;

    // of a layout
    private const int Count = 3;

    private readonly Dictionary<(StageMap First, StageMap Second, StageMap Third), long> _known = [];
    private readonly List<GpuBuffer> _memory = [];
    private AcceleratorStream? _stream;
    private int _free;

    /// <summary>Layouts that have maps.</summary>
    public int Layouts => _known.Count;

    /// <summary>Device address of the layout's three maps, <see cref="StageMap.Size"/> bytes from one to the next.</summary>
    /// <exception cref="InsufficientMemoryException">The device has no memory for them.</exception>
    /// <exception cref="InvalidOperationException">There is no room left, and a graph is being recorded.</exception>
    public long Of(StageLayout layout)
    {
        ref long address = ref CollectionsMarshal.GetValueRefOrAddDefault(_known, (layout.First, layout.Second, layout.Third), out bool known);
        if (known) return address;
        try
        {
            return address = Make(layout);
        }
        catch
        {
            _known.Remove((layout.First, layout.Second, layout.Third));
            throw;
        }
    }

    private long Make(StageLayout layout)
    {
        if (_free < Count)
        {
            _memory.Add(new GpuBuffer(device, Room * StageMap.Size, "scratch", ledger));
            _free = Room;
        }
        // aligned as the driver wants what it writes
        byte* maps = (byte*)NativeMemory.AlignedAlloc(Count * StageMap.Size, 64);
        try
        {
            new Span<byte>(maps, Count * StageMap.Size).Clear();
            Encode(layout.First, maps);
            Encode(layout.Second, maps + StageMap.Size);
            Encode(layout.Third, maps + 2 * StageMap.Size);
            long target = GpuBuffer.Address(_memory[^1]) + (Room - _free) * StageMap.Size;
            if (device.IsCuda)
            {
                // not on the stream of kernels: a graph may be recorded there
                _stream ??= device.Accelerator.CreateStream();
                CudaDriver.CopyToDevice(checked((IntPtr)target), maps, Count * StageMap.Size, ((ILGPU.Runtime.Cuda.CudaStream)_stream).StreamPtr);
                _stream.Synchronize();
            }
            else
            {
                Unsafe.CopyBlockUnaligned((void*)target, maps, Count * StageMap.Size);
            }
            _free -= Count;
            return target;
        }
        finally
        {
            NativeMemory.AlignedFree(maps);
        }
    }

    private void Encode(StageMap map, byte* target)
    {
        if (device.IsCuda) CudaDriver.EncodeStageMap(map, target);
        else *(StageMap*)target = map;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var buffer in _memory) buffer.Dispose();
        _memory.Clear();
        _known.Clear();
        _free = 0;
        _stream?.Dispose();
        _stream = null;
    }
}
