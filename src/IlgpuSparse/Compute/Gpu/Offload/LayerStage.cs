using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace IlgpuSparse.Compute.Gpu.Offload;

/// <summary>
/// Room on the device for all of K and V of one or two layers at a time, as the cache has them, for passes that read every token. On CUDA the copy engine brings one layer while another is computed with, on a stream of its own; the two
/// streams wait for one another by events, and the host for neither.
/// </summary>
internal sealed class LayerStage : IDisposable
{
    private readonly GpuDevice _device;
    private readonly IReadOnlyList<KvLayer> _layers;
    private readonly Slot[] _slots;
    private readonly AcceleratorStream? _copies;
    private readonly IntPtr _computed;

    /// <summary>Allocates room for <paramref name="slots"/> of <paramref name="layers"/>.</summary>
    public LayerStage(GpuDevice device, ComputeBackend backend, IReadOnlyList<KvLayer> layers, int slots)
    {
        (_device, _layers) = (device, layers);
        _slots = [.. Enumerable.Range(0, Math.Min(slots, layers.Count)).Select(_ => new Slot())];
        if (device.IsCuda)
        {
            device.Accelerator.Bind();
            _copies = device.Accelerator.CreateStream();
            _computed = CudaDriver.CreateEvent(timing: false);
        }
        try
        {
            foreach (var slot in _slots)
            {
                slot.K = backend.Allocate(layers[0].K.ByteLength, "kv");
                slot.V = backend.Allocate(layers[0].V.ByteLength, "kv");
                if (device.IsCuda) slot.Copied = CudaDriver.CreateEvent(timing: false);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Bytes that were brought so far.</summary>
    public long CopiedBytes { get; private set; }

    private AcceleratorStream Copies => _copies ?? _device.Stream;

    /// <summary>Where <paramref name="layer"/> is put: K and V in blocks as the cache's own.</summary>
    public KvLayer Room(int layer)
    {
        var slot = _slots[layer % _slots.Length];
        return new KvLayer(_layers[layer].Format, slot.K!, slot.V!, _layers[layer].KScales, _layers[layer].VScales) { IsBrought = true };
    }

    /// <summary>Where the blocks lie that a pass over <paramref name="batch"/> has copied, and how many: what copies of a recorded step are made of.</summary>
    public static int[] Layout(StepBatch batch)
    {
        var layout = new List<int>();
        for (int row = 0; row < batch.Rows; row++)
        {
            int last = batch.HostPositions[row] >> KvLayer.BlockShift;
            layout.Add(last);
            layout.AddRange(batch.HostBlocks(row)[..(last + 1)]);
        }
        return [.. layout];
    }

    /// <summary>A new pass: what was brought before is of no use. Where it <paramref name="bringsAll"/> layers of a decode step, their bytes are counted here: a recorded one does not come by <see cref="Start"/>.</summary>
    public void Begin(StepBatch batch, bool bringsAll)
    {
        foreach (var slot in _slots) slot.Layer = -1;
        if (batch.IsPrefill || !bringsAll) return;
        for (int row = 0; row < batch.Rows; row++) CopiedBytes += 2L * _layers.Count * (batch.HostPositions[row] >> KvLayer.BlockShift) * (_layers[0].K.ByteLength / BlocksIn(0));
    }

    /// <summary>Has the whole blocks of <paramref name="layer"/> in its room, and further layers on their way where there is room for them.</summary>
    public void Bring(int layer, StepBatch batch)
    {
        if (_slots[layer % _slots.Length].Layer != layer)
        {
            for (int next = layer; next < Math.Min(layer + _slots.Length, _layers.Count); next++)
                if (_slots[next % _slots.Length].Layer != next) Start(next, batch);
        }
        if (_device.IsCuda) CudaDriver.WaitOnStream(_device.StreamHandle, _slots[layer % _slots.Length].Copied);
    }

    /// <summary>The room of <paramref name="layer"/> may be used again once what has been asked for is done.</summary>
    public void Leave(int layer, StepBatch batch)
    {
        if (layer + _slots.Length < _layers.Count) Start(layer + _slots.Length, batch);
    }

    private void Start(int layer, StepBatch batch)
    {
        var slot = _slots[layer % _slots.Length];
        slot.Layer = layer;
        if (_copies is CudaStream stream)
        {
            _device.Accelerator.Bind();
            CudaDriver.RecordEvent(_computed, _device.StreamHandle);
            CudaDriver.WaitOnStream(stream.StreamPtr, _computed);
        }
        int sequences = batch.IsPrefill ? 1 : batch.Rows;
        long blockBytes = _layers[layer].K.ByteLength / BlocksIn(layer);
        for (int row = 0; row < sequences; row++)
        {
            var blocks = batch.HostBlocks(row);
            int whole = batch.HostPositions[row] >> KvLayer.BlockShift;
            for (int start = 0, end; start < whole; start = end)
            {
                // blocks that follow one another are one copy
                for (end = start + 1; end < whole && blocks[end] == blocks[end - 1] + 1;) end++;
                long offset = blocks[start] * blockBytes, bytes = (end - start) * blockBytes;
                GpuBuffer.Copy((GpuBuffer)_layers[layer].K, (GpuBuffer)slot.K!, offset, bytes, Copies);
                GpuBuffer.Copy((GpuBuffer)_layers[layer].V, (GpuBuffer)slot.V!, offset, bytes, Copies);
                if (batch.IsPrefill) CopiedBytes += 2 * bytes;
            }
        }
        if (_copies is CudaStream copies) CudaDriver.RecordEvent(slot.Copied, copies.StreamPtr);
    }

    private int BlocksIn(int layer) => _layers[layer].Offload!.Owner.Blocks;

    public void Dispose()
    {
        if (_device.IsCuda) _device.Accelerator.Bind();
        _device.Settle(_copies); // copies that nobody waited for
        foreach (var slot in _slots)
        {
            slot.K?.Dispose();
            slot.V?.Dispose();
            if (slot.Copied != IntPtr.Zero) CudaDriver.DestroyEvent(slot.Copied);
        }
        if (_computed != IntPtr.Zero) CudaDriver.DestroyEvent(_computed);
        _copies?.Dispose();
    }

    private sealed class Slot
    {
        public DeviceBuffer? K, V;
        public IntPtr Copied;
        public int Layer = -1;
    }
}
