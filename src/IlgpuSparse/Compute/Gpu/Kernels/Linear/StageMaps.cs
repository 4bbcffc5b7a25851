using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ILGPU.Runtime.Cuda;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// Maps of weights in device memory (<see cref="StageMap"/>), which are made when a launch first needs them and kept as long as the device is open: they say where something lies, not what, and a recorded graph may point to them. No place is ever
/// written twice, so that no fence (<c>fence.proxy.tensormap</c>) is needed between a map that a multiprocessor has met and another one in its place.
/// </summary>
/// <param name="device">The device, whose kernels may have copies of the copy engine (<see cref="GpuDevice.CopiesInBulk"/>).</param>
internal sealed unsafe class StageMaps(GpuDevice device) : IDisposable
{
    /// <summary>Maps that memory is allocated for at a time: three for each of four layouts a layer are 960 for a model of 80 layers.</summary>
    private const int Room = 1024;

    // of a layout
    private const int Count = 3;

    private readonly Dictionary<(StageMap First, StageMap Second, StageMap Third), long> _known = [];
    private readonly List<GpuBuffer> _memory = [];
    private int _free;

    /// <summary>Layouts that have been asked for.</summary>
    public int Layouts => _known.Count;

    /// <summary>Their memory, which belongs to no backend.</summary>
    public MemoryLedger Memory { get; } = new();

    /// <summary>Device address of the layout's three maps, <see cref="StageMap.Size"/> bytes from one to the next; 0 where the driver makes none of them.</summary>
    /// <exception cref="InsufficientMemoryException">The device has no memory for them.</exception>
    /// <exception cref="InvalidOperationException">There is no room left, and a graph is being recorded.</exception>
    public long Of(StageLayout layout)
    {
        var key = (layout.First, layout.Second, layout.Third);
        if (!_known.TryGetValue(key, out long address)) _known[key] = address = Make(layout);
        return address;
    }

    private long Make(StageLayout layout)
    {
        if (_free < Count)
        {
            _memory.Add(new GpuBuffer(device, Room * StageMap.Size, "maps", Memory));
            _free = Room;
            // maps come by another stream, behind what new memory is filled with
            device.Synchronize();
        }
        // aligned as the driver wants what it writes
        byte* maps = (byte*)NativeMemory.AlignedAlloc(Count * StageMap.Size, 64);
        try
        {
            new Span<byte>(maps, Count * StageMap.Size).Clear();
            if (!(TryEncode(layout.First, maps) && TryEncode(layout.Second, maps + StageMap.Size) && TryEncode(layout.Third, maps + 2 * StageMap.Size))) return 0;
            long target = GpuBuffer.Address(_memory[^1]) + (Room - _free) * StageMap.Size;
            if (device.IsCuda)
            {
                device.Accelerator.Bind();
                // not the stream of kernels: a graph may be recorded there, beside which others may copy
                using var stream = (CudaStream)device.Accelerator.CreateStream();
                CudaDriver.CopyToDevice(checked((IntPtr)target), maps, Count * StageMap.Size, stream.StreamPtr);
                stream.Synchronize();
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

    private bool TryEncode(StageMap map, byte* target)
    {
        if (device.IsCuda) return CudaDriver.TryEncodeStageMap(map, target);
        *(StageMap*)target = map;
        return true;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var buffer in _memory) buffer.Dispose();
        _memory.Clear();
        _known.Clear();
        _free = 0;
    }
}
