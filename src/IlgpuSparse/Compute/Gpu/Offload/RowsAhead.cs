using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using IlgpuSparse.Compute.Gpu.Kernels.Offload;

namespace IlgpuSparse.Compute.Gpu.Offload;

/// <summary>
/// Rows for predicted lists of the next layer, brought while this one is computed: room for two layers in turn, and on CUDA a stream of its own, which waits for the lists and is waited for by the layer's own fetch, by events alone,
/// so that a recorded step has it as a branch.
/// </summary>
internal sealed class RowsAhead : IDisposable
{
    private readonly GpuDevice _device;
    private readonly Slot[] _slots = [new(), new()];
    private readonly AcceleratorStream? _stream;
    private readonly IntPtr _forked;
    private readonly int _width;

    /// <summary>Allocates for lists of a cache of <paramref name="tokens"/> tokens.</summary>
    public RowsAhead(GpuDevice device, ComputeBackend backend, OffloadSizes sizes, int sets, int capacity, int tokens)
    {
        (_device, _width) = (device, tokens);
        if (device.IsCuda)
        {
            device.Accelerator.Bind();
            _stream = device.Accelerator.CreateStream();
            _forked = CudaDriver.CreateEvent(timing: false);
        }
        try
        {
            foreach (var slot in _slots)
            {
                slot.Rows = new FetchedRows(backend, sizes.Format, sizes.KvHeads, sizes.HeadDim, sizes.Sequences, sets, capacity);
                slot.Places = backend.Allocate(PlaceBytes(sizes.Sequences, sets, tokens), "kv");
                slot.Places.Clear();
                if (device.IsCuda) slot.Done = CudaDriver.CreateEvent(timing: false);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Device bytes.</summary>
    public static long PlannedBytes(OffloadSizes sizes, int sets, int capacity) =>
        2 * (FetchedRows.PlannedBytes(sizes.Format, sizes.KvHeads, sizes.HeadDim, sizes.Sequences, sets, capacity) + PlaceBytes(sizes.Sequences, sets, sizes.Blocks * KvLayer.BlockTokens));

    /// <summary>Room for the rows of <paramref name="layer"/>.</summary>
    public FetchedRows Rows(int layer) => _slots[layer & 1].Rows!;

    /// <summary>What kernels know of the rows of <paramref name="layer"/>, brought for <paramref name="sets"/>.</summary>
    public AheadView View(int layer, TokenSets sets)
    {
        var slot = _slots[layer & 1];
        return new AheadView
        {
            Tokens = GpuBuffer.View<int>(sets.Indices),
            Counts = GpuBuffer.View<int>(sets.Counts),
            Places = GpuBuffer.View<int>(slot.Places!),
            Width = _width,
            K = GpuBuffer.Address(slot.Rows!.Layer.K),
            V = GpuBuffer.Address(slot.Rows.Layer.V),
        };
    }

    /// <summary>Does <paramref name="fetch"/> behind what has been asked for so far, beside what follows.</summary>
    public void Start(int layer, TokenSets sets, Action<AcceleratorStream> fetch)
    {
        var slot = _slots[layer & 1];
        slot.Layer = layer;
        slot.Sets = sets;
        if (_stream is not CudaStream side)
        {
            fetch(_device.Stream);
            return;
        }
        _device.Accelerator.Bind();
        CudaDriver.RecordEvent(_forked, _device.StreamHandle);
        CudaDriver.WaitOnStream(side.StreamPtr, _forked);
        fetch(side);
        CudaDriver.RecordEvent(slot.Done, side.StreamPtr);
    }

    /// <summary>Has what follows wait for the rows of <paramref name="layer"/>, if any were asked for: the lists that they are of. They count as used unless they are asked for <paramref name="again"/>.</summary>
    public TokenSets? Join(int layer, bool again = false)
    {
        var slot = _slots[layer & 1];
        if (slot.Layer != layer) return null;
        if (!again) slot.Layer = -1;
        if (_device.IsCuda) CudaDriver.WaitOnStream(_device.StreamHandle, slot.Done);
        return slot.Sets;
    }

    private static long PlaceBytes(int rows, int sets, int tokens) => (long)rows * sets * tokens * sizeof(int);

    public void Dispose()
    {
        if (_device.IsCuda) _device.Accelerator.Bind();
        _device.Settle(_stream); // rows that nobody waited for
        foreach (var slot in _slots)
        {
            slot.Rows?.Dispose();
            slot.Places?.Dispose();
            if (slot.Done != IntPtr.Zero) CudaDriver.DestroyEvent(slot.Done);
        }
        if (_forked != IntPtr.Zero) CudaDriver.DestroyEvent(_forked);
        _stream?.Dispose();
    }

    private sealed class Slot
    {
        public FetchedRows? Rows;
        public DeviceBuffer? Places;
        public TokenSets? Sets;
        public IntPtr Done;
        public int Layer = -1;
    }
}
