using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute.Gpu.Kernels.Offload;

namespace IlgpuSparse.Compute.Gpu.Offload;

/// <summary>
/// K and V of a cache in host memory as the device works with them. Tokens are appended on the device (to a block that stays there, or to the room of a layer while a prompt is computed) and copied to the host behind that; a step over
/// selected tokens gathers their rows first (<see cref="Fetch"/>), and one over all tokens reads them in place or has the layer brought. Nothing here waits.
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
    private FetchedRows? _fetched;
    private CopyLauncher? _copy;
    private CountLauncher? _count;
    private RowsAhead? _ahead;
    private FetchLauncher? _fetch, _fetchAhead, _fetchLate;
    private KeepLauncher? _keep;

    private delegate void CopyLauncher(AcceleratorStream stream, KernelConfig config, RowStore source, RowStore target, ArrayView<int> positions, ArrayView<int> clocks, CopyRowsArgs args);

    private delegate void CountLauncher(AcceleratorStream stream, KernelConfig config, ArrayView<int> positions, ArrayView<long> counters, int counter, int rows, int kvHeads, int window);

    private delegate void FetchLauncher(AcceleratorStream stream, KernelConfig config, ArrayView<int> tokens, ArrayView<int> counts, ArrayView<int> blocks, ArrayView<int> residents, RowStore scales, RowStore fetched, HotView hot, AheadView ahead, FetchArgs args);

    private delegate void KeepLauncher(AcceleratorStream stream, KernelConfig config, ArrayView<int> tokens, ArrayView<int> blocks, HotView hot, FetchArgs args);

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
    }

    /// <summary>Blocks of the cache.</summary>
    public int Blocks => _sizes.Blocks;

    /// <summary>Whether decode steps over all tokens have their layers brought instead of reading them in place: what the host has to prepare for every step.</summary>
    public bool BringsLayers => _sizes.StagedLayers > 1;

    /// <summary>Where <see cref="Fetch"/> has put rows last; null before it was called.</summary>
    public FetchedRows? FetchedLast => _fetched;

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

    /// <summary>Makes room for the rows of <paramref name="sets"/>.</summary>
    public void Reserve(TokenSets sets)
    {
        Fetched(sets, _sizes.Sequences);
        if (_sizes.Predicts) _ahead = new RowsAhead(_device, _backend, _sizes, sets.Sets, sets.Capacity, _sizes.Blocks * KvLayer.BlockTokens);
    }

    /// <summary>Brings the rows of <paramref name="sets"/>, predicted for <paramref name="layer"/>, beside what follows.</summary>
    public void Prefetch(KvLayer layer, StepBatch batch, TokenSets sets)
    {
        if (batch.Rows == 0) return;
        int index = layer.Offload!.Index;
        var room = _ahead!.Rows(index);
        _fetchAhead ??= _device.Kernels.Load<FetchLauncher>(FetchKernel.Variant(typeof(FetchAhead)));
        _ahead.Start(index, sets, stream => Launch(_fetchAhead, layer, batch, sets, room, _ahead.View(index, sets), stream));
    }

    /// <summary>
    /// Before every pass, recorded or not: decides which blocks stay on the device, tells it, and copies to them what they lack, in <paramref name="layers"/>.
    /// </summary>
    public void Prepare(StepBatch batch, IReadOnlyList<KvLayer> layers)
    {
        _stage?.Begin();
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
        // the block that is not whole is one of those that stay
        int sequences = batch.IsPrefill ? 1 : batch.Rows;
        for (int row = 0; row < sequences; row++)
        {
            int end = batch.HostPositions[row] + (batch.IsPrefill ? 0 : 1), first = batch.HostPositions[row] & -KvLayer.BlockTokens;
            if (end > first) Copy(own.Resident, room, batch, row, first, end - first);
        }
        return room;
    }

    /// <summary>After dense attention over <see cref="Whole"/> was asked for.</summary>
    public void Leave(KvLayer layer, StepBatch batch)
    {
        if (batch.IsPrefill || BringsLayers) _stage!.Leave(layer.Offload!.Index, batch);
    }

    /// <summary>Gathers the rows of <paramref name="sets"/>: what to attend to, and the lists in its terms.</summary>
    public (KvLayer Rows, TokenSets Sets) Fetch(KvLayer layer, StepBatch batch, TokenSets sets)
    {
        var fetched = Fetched(sets, batch.Rows);
        if (batch.Rows > 0)
        {
            int index = layer.Offload!.Index;
            if (_ahead?.Join(index) is { } predicted)
            {
                _fetchLate ??= _device.Kernels.Load<FetchLauncher>(FetchKernel.Variant(typeof(FetchLate)));
                Launch(_fetchLate, layer, batch, sets, fetched, _ahead.View(index, predicted), _device.Stream);
            }
            else
            {
                _fetch ??= _device.Kernels.Load<FetchLauncher>(FetchKernel.Variant(typeof(FetchNow)));
                // the places of nothing: memory that is never touched still has to be valid
                var nothing = new AheadView { Tokens = GpuBuffer.View<int>(sets.Indices), Counts = GpuBuffer.View<int>(sets.Counts), Places = GpuBuffer.View<int>(sets.Counts) };
                Launch(_fetch, layer, batch, sets, fetched, nothing, _device.Stream);
            }
        }
        return (fetched.Layer, fetched.Lists(sets));
    }

    private void Launch(FetchLauncher fetch, KvLayer layer, StepBatch batch, TokenSets sets, FetchedRows target, AheadView ahead, AcceleratorStream stream)
    {
        int groups = Math.Max(1, 2 * _device.Multiprocessors / (sets.Sets * batch.Rows));
        fetch(stream, new KernelConfig(new Index3D(groups, sets.Sets, batch.Rows), new Index3D(_device.GroupSize(FetchKernel.GroupSize), 1, 1)), GpuBuffer.View<int>(sets.Indices), GpuBuffer.View<int>(sets.Counts),
            GpuBuffer.View<int>(batch.BlockTable), GpuBuffer.View<int>(_residentTable), Rows(layer, batch), Rows(target.Layer, batch), View(layer), ahead, Args(layer, batch, target));
    }

    /// <summary>Takes rows that were missing into the hot ones, after <see cref="Fetch"/>.</summary>
    public void Keep(KvLayer layer, StepBatch batch, TokenSets sets)
    {
        if (layer.Offload!.Hot is not { } hot || batch.Rows == 0) return;
        _keep ??= _device.Kernels.Load<KeepLauncher>(KeepKernel.Variant);
        int groups = Math.Clamp(16 * _device.Multiprocessors / _sizes.KvHeads, 1, hot.Buckets);
        _keep(_device.Stream, new KernelConfig(new Index3D(groups, _sizes.KvHeads, 1), new Index3D(_device.GroupSize(KeepKernel.GroupSize), 1, 1)), GpuBuffer.View<int>(sets.Indices), GpuBuffer.View<int>(batch.BlockTable),
            View(layer), Args(layer, batch, Fetched(sets, batch.Rows)));
    }

    /// <summary>Rows that selected attention has read so far, by where they came from; waits for the device.</summary>
    public OffloadCounts Counts()
    {
        long[] counters = ((DeviceSpan)_counters).ToArray<long>(FetchKernel.Counters);
        // every layer's clock counts the same steps
        return new OffloadCounts(((DeviceSpan)_clocks).ToArray<int>(1)[0], counters[FetchKernel.HostRows], counters[FetchKernel.HotRowsRead], counters[FetchKernel.ResidentRows],
            counters[FetchKernel.AheadRowsRead], counters[FetchKernel.AheadRows],
            2L * _sizes.RowBytes * (counters[FetchKernel.HostRows] + counters[FetchKernel.AheadRows] + counters[FetchKernel.InPlaceRows]) + (_stage?.CopiedBytes ?? 0));
    }

    private FetchedRows Fetched(TokenSets sets, int rows)
    {
        if (_fetched is { } known && known.Serves(sets, rows)) return known;
        if ((long)rows * sets.Sets * sets.Capacity > int.MaxValue) throw new NotSupportedException($"{rows} rows with {sets.Sets} lists of {sets.Capacity:N0} tokens are more than can be fetched at a time");
        _device.Synchronize(); // the old one may be in use
        _fetched?.Dispose();
        _fetched = null;
        return _fetched = new FetchedRows(_backend, _sizes.Format, _sizes.KvHeads, _sizes.HeadDim, Math.Max(rows, _sizes.Sequences), sets.Sets, sets.Capacity);
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

    private static RowStore Rows(KvLayer layer, StepBatch batch) => new()
    {
        K = GpuBuffer.Address(layer.K),
        V = GpuBuffer.Address(layer.V),
        // memory that this form never touches still has to be valid
        KScales = GpuBuffer.View<float>(layer.KScales ?? layer.K),
        VScales = GpuBuffer.View<float>(layer.VScales ?? layer.V),
        Blocks = GpuBuffer.View<int>(layer.Table?.Blocks ?? batch.BlockTable),
    };

    private HotView View(KvLayer layer)
    {
        var hot = layer.Offload!.Hot;
        return new HotView
        {
            Tags = GpuBuffer.View<int>(hot?.Tags ?? _clocks),
            Stamps = GpuBuffer.View<int>(hot?.Stamps ?? _clocks),
            Claims = GpuBuffer.View<int>(hot?.Claims ?? _clocks),
            Clocks = GpuBuffer.View<int>(_clocks),
            Counters = GpuBuffer.View<long>(_counters),
        };
    }

    private FetchArgs Args(KvLayer layer, StepBatch batch, FetchedRows fetched)
    {
        var own = layer.Offload!;
        return new FetchArgs
        {
            ResidentK = GpuBuffer.Address(own.Resident.K),
            ResidentV = GpuBuffer.Address(own.Resident.V),
            HostK = GpuBuffer.Address(layer.K),
            HostV = GpuBuffer.Address(layer.V),
            HotK = own.Hot is null ? 0 : GpuBuffer.Address(own.Hot.K),
            HotV = own.Hot is null ? 0 : GpuBuffer.Address(own.Hot.V),
            FetchedK = GpuBuffer.Address(fetched.Layer.K),
            FetchedV = GpuBuffer.Address(fetched.Layer.V),
            KvHeads = _sizes.KvHeads,
            Units = _sizes.RowBytes / RowOps.UnitBytes,
            MaxBlocks = batch.MaxBlocks,
            Capacity = fetched.Capacity,
            Sets = fetched.Sets,
            SetsPerKvHead = fetched.SetsPerKvHead,
            RowBlocks = fetched.Blocks,
            Buckets = own.Hot?.Buckets ?? 0,
            Clock = own.Index,
            Scaled = _sizes.Format == KvFormat.Int8 ? 1 : 0,
        };
    }

    public void Dispose()
    {
        _device.Synchronize();
        _stage?.Dispose();
        _fetched?.Dispose();
        _ahead?.Dispose();
        _residentTable.Dispose();
        _clocks.Dispose();
        _counters.Dispose();
    }
}
