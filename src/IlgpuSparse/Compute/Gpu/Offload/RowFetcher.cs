using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Offload;

namespace IlgpuSparse.Compute.Gpu.Offload;

/// <summary>
/// The rows of selected tokens of a cache in host memory: gathered from where they are before attention reads them, brought ahead for predicted lists, and kept among the hot ones behind that. Nothing here waits.
/// </summary>
internal sealed class RowFetcher : IDisposable
{
    private readonly GpuBackend _backend;
    private readonly GpuDevice _device;
    private readonly OffloadSizes _sizes;
    private readonly DeviceBuffer _residentTable, _clocks, _counters;
    private FetchedRows? _fetched;
    private RowsAhead? _ahead;
    private FetchLauncher? _fetch, _fetchAhead, _fetchLate;
    private KeepLauncher? _keep;
    private DropLauncher? _drop;

    private delegate void FetchLauncher(AcceleratorStream stream, KernelConfig config, ArrayView<int> tokens, ArrayView<int> counts, ArrayView<int> blocks, ArrayView<int> residents, RowStore scales, RowStore fetched, HotView hot, AheadView ahead, FetchArgs args);

    private delegate void DropLauncher(AcceleratorStream stream, KernelConfig config, ArrayView<int> tokens, ArrayView<int> counts, ArrayView<float> shares, ArrayView<float> scores, ArrayView<int> blocks, ArrayView<int> residents, HotView hot, AheadView ahead, FetchArgs args, DropArgs drop);

    private delegate void KeepLauncher(AcceleratorStream stream, KernelConfig config, ArrayView<int> tokens, ArrayView<int> blocks, HotView hot, FetchArgs args);

    /// <summary>Works with what <see cref="KvOffload"/> knows of its cache: which blocks stay on the device, the clock of each layer, and the counters of <see cref="FetchKernel"/>.</summary>
    public RowFetcher(GpuBackend backend, OffloadSizes sizes, DeviceBuffer residentTable, DeviceBuffer clocks, DeviceBuffer counters) =>
        (_backend, _device, _sizes, _residentTable, _clocks, _counters) = (backend, backend.Device, sizes, residentTable, clocks, counters);

    /// <summary>Where <see cref="Fetch"/> has put rows last; null before it was called.</summary>
    public FetchedRows? Last => _fetched;

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
        long rows = (long)batch.Rows * sets.Sets * sets.Capacity;
        _ahead.Start(index, sets, stream => Launch(_fetchAhead, FetchKernel.AheadGroupSize, FetchKernel.AheadGroups(_device.Multiprocessors, rows), layer, batch, sets, room, _ahead.View(index, sets), stream));
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
                Launch(_fetchLate, FetchKernel.GroupSize, FetchKernel.Groups(_device.Multiprocessors), layer, batch, sets, fetched, _ahead.View(index, predicted), _device.Stream);
            }
            else
            {
                _fetch ??= _device.Kernels.Load<FetchLauncher>(FetchKernel.Variant(typeof(FetchNow)));
                // the places of nothing: memory that is never touched still has to be valid
                var nothing = new AheadView { Tokens = GpuBuffer.View<int>(sets.Indices), Counts = GpuBuffer.View<int>(sets.Counts), Places = GpuBuffer.View<int>(sets.Counts) };
                Launch(_fetch, FetchKernel.GroupSize, FetchKernel.Groups(_device.Multiprocessors), layer, batch, sets, fetched, nothing, _device.Stream);
            }
        }
        return (fetched.Layer, fetched.Lists(sets));
    }

    /// <summary>
    /// Takes rows out of <paramref name="sets"/> that are not on the device and whose estimated mass under <paramref name="rule"/> is less than <paramref name="least"/> of the average of their list. Where nothing was brought ahead, all stay.
    /// </summary>
    public void Drop(KvLayer layer, StepBatch batch, TokenSets sets, TokenScores scores, SelectionRule rule, float least)
    {
        if (batch.Rows == 0 || _ahead?.Join(layer.Offload!.Index, again: true) is not { } predicted) return;
        _drop ??= _device.Kernels.Load<DropLauncher>(DropKernel.Variant);
        var drop = new DropArgs
        {
            ScoreCapacity = scores.Capacity,
            MassScale = TokenMass.Scale(rule.Temperature),
            Least = (uint)Math.Round(least * 65536.0),
            Sinks = rule.Sinks,
            HasShares = sets.Shares is null ? 0 : 1,
        };
        _drop(_device.Stream, new KernelConfig(new Index3D(1, sets.Sets, batch.Rows), new Index3D(_device.GroupSize(DropKernel.GroupSize), 1, 1)), GpuBuffer.View<int>(sets.Indices), GpuBuffer.View<int>(sets.Counts),
            GpuBuffer.View<float>(sets.Shares ?? scores.Buffer), GpuBuffer.View<float>(scores.Buffer), GpuBuffer.View<int>(batch.BlockTable), GpuBuffer.View<int>(_residentTable), View(layer),
            _ahead.View(layer.Offload!.Index, predicted), Args(layer, batch, Fetched(sets, batch.Rows)), drop);
    }

    // About `groups` in all, as many for each list.
    private void Launch(FetchLauncher fetch, int groupSize, int groups, KvLayer layer, StepBatch batch, TokenSets sets, FetchedRows target, AheadView ahead, AcceleratorStream stream)
    {
        int perList = Math.Max(1, groups / (sets.Sets * batch.Rows));
        fetch(stream, new KernelConfig(new Index3D(perList, sets.Sets, batch.Rows), new Index3D(_device.GroupSize(groupSize), 1, 1)), GpuBuffer.View<int>(sets.Indices), GpuBuffer.View<int>(sets.Counts),
            GpuBuffer.View<int>(batch.BlockTable), GpuBuffer.View<int>(_residentTable), KvOffload.Rows(layer, batch), KvOffload.Rows(target.Layer, batch), View(layer), ahead, Args(layer, batch, target));
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

    private FetchedRows Fetched(TokenSets sets, int rows)
    {
        if (_fetched is { } known && known.Serves(sets, rows)) return known;
        if ((long)rows * sets.Sets * sets.Capacity > int.MaxValue) throw new NotSupportedException($"{rows} rows with {sets.Sets} lists of {sets.Capacity:N0} tokens are more than can be fetched at a time");
        _device.Synchronize(); // the old one may be in use
        _fetched?.Dispose();
        _fetched = null;
        return _fetched = new FetchedRows(_backend, _sizes.Format, _sizes.KvHeads, _sizes.HeadDim, Math.Max(rows, _sizes.Sequences), sets.Sets, sets.Capacity);
    }

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
        _fetched?.Dispose();
        _ahead?.Dispose();
    }
}
