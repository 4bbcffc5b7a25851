using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute.Gpu.Kernels.Offload;

namespace IlgpuSparse.Compute.Gpu.Offload;

/// <summary>
/// K and V of a cache in host memory as the device works with them. Tokens are appended on the device (to a block that stays there, or to the room of a layer while a prompt is computed) and copied to the host behind that; a step over
/// selected tokens gathers their rows first (<see cref="Selected"/>), and one over all tokens reads them in place or has the layer brought. Nothing here waits.
/// </summary>
internal sealed class KvOffload : IDisposable
{
    private readonly GpuBackend _backend;
    private readonly GpuDevice _device;
    private readonly OffloadSizes _sizes;
    private readonly ResidentBlocks _residents;
    private readonly int[] _table, _sent;
    private readonly DeviceBuffer _residentTable, _clocks, _counters;
    private readonly KvBlockTable _blockTable;
    private LayerStage? _stage;
    private CopyLauncher? _copy;
    private CountLauncher? _count;

    private delegate void CopyLauncher(AcceleratorStream stream, KernelConfig config, RowStore source, RowStore target, ArrayView<int> positions, ArrayView<int> clocks, CopyRowsArgs args);

    private delegate void CountLauncher(AcceleratorStream stream, KernelConfig config, ArrayView<int> positions, ArrayView<long> counters, int counter, int rows, int kvHeads, int window);

    /// <summary>Allocates what does not belong to a layer.</summary>
    public KvOffload(GpuBackend backend, OffloadSizes sizes)
    {
        (_backend, _device, _sizes) = (backend, backend.Device, sizes);
        _residents = new ResidentBlocks(sizes.Blocks, sizes.Sequences, sizes.Window);
        _table = new int[sizes.Sequences * sizes.Blocks];
        _sent = new int[_table.Length];
        Array.Fill(_sent, int.MinValue);
        try
        {
            _residentTable = backend.Allocate((long)_table.Length * sizeof(int), "kv");
            _clocks = backend.Allocate((long)sizes.Layers * sizeof(int), "kv");
            _counters = backend.Allocate(FetchKernel.Counters * sizeof(long), "kv");
        }
        catch
        {
            _residentTable?.Dispose();
            _clocks?.Dispose();
            throw;
        }
        _clocks.Clear();
        _counters.Clear();
        _blockTable = new KvBlockTable(_residentTable, sizes.Blocks);
        Selected = new RowFetcher(backend, sizes, _residentTable, _clocks, _counters);
    }

    /// <summary>Rows of selected tokens.</summary>
    public RowFetcher Selected { get; }

    /// <summary>Blocks of the cache.</summary>
    public int Blocks => _sizes.Blocks;

    /// <summary>Whether decode steps over all tokens have their layers brought instead of reading them in place, by copies whose places the host decides.</summary>
    public bool BringsLayers => _sizes.StagedLayers > 1;

    /// <summary>Makes the device's side of layer <paramref name="index"/>.</summary>
    public OffloadedLayer CreateLayer(int index)
    {
        long rows = (long)ResidentBlocks.Places(_sizes.Blocks, _sizes.Sequences, _sizes.Window) * KvLayer.BlockTokens * _sizes.KvHeads;
        bool scaled = _sizes.Format == KvFormat.Int8;
        var owned = new List<DeviceBuffer>();
        DeviceBuffer Allocate(long bytes)
        {
            var buffer = _backend.Allocate(bytes, "kv");
            owned.Add(buffer);
            return buffer;
        }
        try
        {
            var resident = new KvLayer(_sizes.Format, Allocate(rows * _sizes.RowBytes), Allocate(rows * _sizes.RowBytes), scaled ? Allocate(rows * sizeof(float)) : null, scaled ? Allocate(rows * sizeof(float)) : null) { Table = _blockTable };
            return new OffloadedLayer(this, index, resident, _sizes.HotBuckets > 0 ? new HotRows(_backend, _sizes.Format, _sizes.KvHeads, _sizes.HeadDim, _sizes.HotBuckets) : null);
        }
        catch
        {
            foreach (var buffer in owned) buffer.Dispose();
            throw;
        }
    }

    /// <summary>Makes room for whole layers; called once all of <paramref name="layers"/> are there.</summary>
    public void Stage(IReadOnlyList<KvLayer> layers) => _stage = new LayerStage(_device, _backend, layers, _sizes.StagedLayers);

    /// <summary>
    /// Before every pass, recorded or not: decides which blocks stay on the device, tells it, and copies to them what they lack, in <paramref name="layers"/>.
    /// </summary>
    public void Prepare(StepBatch batch, IReadOnlyList<KvLayer> layers)
    {
        _stage?.Begin(batch, BringsLayers);
        int sequences = batch.IsPrefill ? 1 : batch.Rows;
        var loads = _residents.Prepare(batch, _table);
        var used = _table.AsSpan(0, sequences * _sizes.Blocks);
        if (!used.SequenceEqual(_sent.AsSpan(0, used.Length)))
        {
            ((DeviceSpan)_residentTable).Upload<int>(used);
            used.CopyTo(_sent);
        }
        foreach (var (row, first, count) in loads)
            foreach (var layer in layers)
                Copy(layer, layer.Offload!.Resident, batch, row, first, count);
    }

    /// <summary>Forgets <paramref name="block"/>, which went back to the pool.</summary>
    public void Release(int block) => _residents.Release(block);

    /// <summary>Where the rows of <paramref name="batch"/> are appended.</summary>
    public KvLayer Target(KvLayer layer, StepBatch batch) => batch.IsPrefill ? _stage!.Room(layer.Offload!.Index) : layer.Offload!.Resident;

    /// <summary>Copies the rows that were just appended to <see cref="Target"/> to the host, and those of a prompt to the blocks that stay.</summary>
    public void Store(KvLayer layer, StepBatch batch)
    {
        if (batch.Rows == 0) return;
        var own = layer.Offload!;
        if (batch.IsPrefill)
        {
            var room = _stage!.Room(own.Index);
            Copy(room, layer, batch, 0, batch.HostPositions[0], batch.Rows);
            Copy(room, own.Resident, batch, 0, batch.HostPositions[0], batch.Rows);
        }
        else
        {
            Copy(own.Resident, layer, batch, batch.Rows, new CopyRowsArgs { PerRow = 1, Clock = own.Index });
        }
    }

    /// <summary>The layer as dense attention reads it: brought to the device for a prompt and where steps bring layers, else in place.</summary>
    public KvLayer Whole(AttentionShape shape, KvLayer layer, StepBatch batch)
    {
        if (!batch.IsPrefill && !BringsLayers)
        {
            _count ??= _device.Kernels.Load<CountLauncher>(CountRowsKernel.Variant);
            _count(_device.Stream, new KernelConfig(LaunchShapes.Groups(batch.Rows, CountRowsKernel.GroupSize), _device.GroupSize(CountRowsKernel.GroupSize)), GpuBuffer.View<int>(batch.Positions), GpuBuffer.View<long>(_counters),
                FetchKernel.InPlaceRows, batch.Rows, _sizes.KvHeads, shape.Window);
            return layer;
        }
        var own = layer.Offload!;
        _stage!.Bring(own.Index, batch);
        var room = _stage.Room(own.Index);
        // the block that is not whole is one of those that stay; of a step all of it, with what is not there yet, so that a recording serves until it is full
        int sequences = batch.IsPrefill ? 1 : batch.Rows;
        for (int row = 0; row < sequences; row++)
        {
            int first = batch.HostPositions[row] & -KvLayer.BlockTokens, count = batch.IsPrefill ? batch.HostPositions[row] - first : KvLayer.BlockTokens;
            if (count > 0) Copy(own.Resident, room, batch, row, first, count);
        }
        return room;
    }

    /// <summary>After dense attention over <see cref="Whole"/> was asked for.</summary>
    public void Leave(KvLayer layer, StepBatch batch)
    {
        if (batch.IsPrefill || BringsLayers) _stage!.Leave(layer.Offload!.Index, batch);
    }

    /// <summary>Rows that selected attention has read so far, by where they came from; waits for the device.</summary>
    public OffloadCounts Counts()
    {
        long[] counters = ((DeviceSpan)_counters).ToArray<long>(FetchKernel.Counters);
        // every layer's clock counts the same steps
        return new OffloadCounts(((DeviceSpan)_clocks).ToArray<int>(1)[0], counters[FetchKernel.HostRows], counters[FetchKernel.HotRowsRead], counters[FetchKernel.ResidentRows],
            counters[FetchKernel.AheadRowsRead], counters[FetchKernel.AheadRows],
            2L * _sizes.RowBytes * (counters[FetchKernel.HostRows] + counters[FetchKernel.AheadRows] + counters[FetchKernel.InPlaceRows]) + (_stage?.CopiedBytes ?? 0))
        {
            DroppedRows = counters[FetchKernel.DroppedRows],
        };
    }

    // Consecutive positions of one sequence.
    private void Copy(KvLayer source, KvLayer target, StepBatch batch, int row, int first, int count) => Copy(source, target, batch, count, new CopyRowsArgs { TableRow = row, First = first, Clock = -1 });

    private void Copy(KvLayer source, KvLayer target, StepBatch batch, int rows, CopyRowsArgs args)
    {
        _copy ??= _device.Kernels.Load<CopyLauncher>(CopyRowsKernel.Variant);
        args.KvHeads = _sizes.KvHeads;
        args.Units = _sizes.RowBytes / RowOps.UnitBytes;
        args.MaxBlocks = batch.MaxBlocks;
        args.Scaled = _sizes.Format == KvFormat.Int8 && source.KScales != target.KScales ? 1 : 0;
        _copy(_device.Stream, new KernelConfig(new Index3D(rows, _sizes.KvHeads, 1), new Index3D(_device.GroupSize(CopyRowsKernel.GroupSize), 1, 1)), Rows(source, batch), Rows(target, batch), GpuBuffer.View<int>(batch.Positions),
            GpuBuffer.View<int>(_clocks), args);
    }

    /// <summary>Where rows of <paramref name="layer"/> lie.</summary>
    public static RowStore Rows(KvLayer layer, StepBatch batch) => new()
    {
        K = GpuBuffer.Address(layer.K),
        V = GpuBuffer.Address(layer.V),
        // memory that this form never touches still has to be valid
        KScales = GpuBuffer.View<float>(layer.KScales ?? layer.K),
        VScales = GpuBuffer.View<float>(layer.VScales ?? layer.V),
        Blocks = GpuBuffer.View<int>(layer.Table?.Blocks ?? batch.BlockTable),
    };

    public void Dispose()
    {
        _device.Settle();
        _stage?.Dispose();
        Selected?.Dispose();
        _residentTable.Dispose();
        _clocks.Dispose();
        _counters.Dispose();
    }
}
