using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Attention;
using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Offload;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>Double Sparsity that scores and selects as ever and then attends to recorded selections, stretched to its context: what a step costs where successive ones have in common what a real model's have.</summary>
internal sealed class ReplayPolicy : AttentionPolicy
{
    private const int Groups = 8;

    private readonly GpuBackend _backend;
    private readonly DoubleSparsityPolicy _inner;
    private readonly SelectionTrace _trace;
    private readonly int _layers, _start, _stretch, _room;
    private readonly DeviceBuffer _recorded, _lengths;
    private Launcher? _replay;

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, ArrayView<int> positions, ArrayView<int> recorded, ArrayView<int> lengths, ArrayView<int> tokens, ArrayView<int> counts, ReplayArgs args);

    /// <summary>Sends <paramref name="trace"/> to the device.</summary>
    /// <param name="backend">Where it runs.</param>
    /// <param name="inner">What selects; disposed with this.</param>
    /// <param name="trace">What is attended to.</param>
    /// <param name="layers">Layers of the model.</param>
    /// <param name="start">Position of the first step.</param>
    /// <exception cref="ArgumentException">The context is shorter than the recorded one.</exception>
    public ReplayPolicy(GpuBackend backend, DoubleSparsityPolicy inner, SelectionTrace trace, int layers, int start)
    {
        (_backend, _inner, _trace, _layers, _start, _stretch, _room) = (backend, inner, trace, layers, start, start / trace.Prompt, trace.Room);
        try
        {
            if (_stretch < 1) throw new ArgumentException($"selections of {trace.Prompt:N0} tokens cannot be replayed over {start:N0}", nameof(trace));
            int lists = trace.Steps * trace.Layers * trace.Heads;
            int[] recorded = new int[checked(lists * _room)], lengths = new int[2 * lists];
            for (int list = 0; list < lists; list++)
            {
                var tokens = trace[list / trace.Heads / trace.Layers, list / trace.Heads % trace.Layers, list % trace.Heads];
                for (int i = 0; i < tokens.Count; i++) recorded[list * _room + i] = tokens[i];
                (lengths[2 * list], lengths[2 * list + 1]) = (tokens.Count(token => token < trace.Prompt), tokens.Count);
            }
            _recorded = backend.Allocate((long)recorded.Length * sizeof(int), "test");
            _lengths = backend.Allocate((long)lengths.Length * sizeof(int), "test");
            ((DeviceSpan)_recorded).Upload<int>(recorded);
            ((DeviceSpan)_lengths).Upload<int>(lengths);
        }
        catch
        {
            _recorded?.Dispose();
            _lengths?.Dispose();
            inner.Dispose();
            throw;
        }
    }

    public override string Description => $"{_inner.Description}, replayed";

    public override long AuxiliaryBytesPerToken => _inner.AuxiliaryBytesPerToken;

    public override void Append(int layer, StepBatch batch, DeviceSpan k) => _inner.Append(layer, batch, k);

    public override int Mode(StepBatch batch) => _inner.Mode(batch);

    public override void Attend(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        if (batch.Rows != 1) throw new ArgumentException($"{batch.Rows} rows: selections of one sequence are replayed", nameof(batch));
        _inner.Select(layer, batch, q);
        var sets = _inner.Sets;
        _replay ??= _backend.Device.Kernels.Load<Launcher>(ReplayKernel.Variant);
        _replay(_backend.Device.Stream, new KernelConfig(new Index3D(Groups, sets.Sets, 1), new Index3D(_backend.Device.GroupSize(ReplayKernel.GroupSize), 1, 1)), GpuBuffer.View<int>(batch.Positions), GpuBuffer.View<int>(_recorded),
            GpuBuffer.View<int>(_lengths), GpuBuffer.View<int>(sets.Indices), GpuBuffer.View<int>(sets.Counts), new ReplayArgs
            {
                Steps = _trace.Steps,
                Layers = _trace.Layers,
                Heads = _trace.Heads,
                Room = _room,
                Prompt = _trace.Prompt,
                Start = _start,
                Stretch = _stretch,
                // deep layers are like deep ones
                Layer = layer * _trace.Layers / _layers,
                Capacity = sets.Capacity,
            });
        _inner.AttendSelected(layer, batch, q, y);
    }

    internal override TokenSets? SetsOf(int layer, StepBatch batch) => _inner.Sets;

    internal override TokenSets? Selection => _inner.Selection;

    public override long BytesRead(int position) => _inner.BytesRead(position);

    public override void Dispose()
    {
        _recorded.Dispose();
        _lengths.Dispose();
        _inner.Dispose();
    }
}
