using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Generation;

namespace IlgpuSparse.Llama;

/// <summary>
/// Decode steps that a backend has recorded, by rows and mode of the policy, and whether they draw a token. A step of a new kind is done operation by operation once, which loads kernels and allocates scratch
/// memory; it is recorded when it comes again, and recorded anew when sequences have outgrown the sizes of the recording or tokens are drawn otherwise,
/// or lie elsewhere where that is a part of the recording.
/// </summary>
internal sealed class RecordedSteps(ComputeBackend backend) : IDisposable
{
    private readonly Dictionary<(int Rows, int Mode, bool Draws), Entry> _entries = [];

    /// <summary>Kernels and copies of the last step that was done by a recording; 0 before there was one.</summary>
    public int Nodes { get; private set; }

    /// <summary>Does <paramref name="step"/> for <paramref name="batch"/>, by a recording where there is one. <paramref name="sampling"/> is how it draws tokens, null when it does not; <paramref name="layout"/> is <see cref="KvCache.Layout"/>.</summary>
    public void Run(StepBatch batch, int mode, SamplingOptions? sampling, int[] layout, Action step)
    {
        if (!backend.Records)
        {
            step();
            return;
        }
        var key = (batch.Rows, mode, sampling is not null);
        if (!_entries.TryGetValue(key, out var entry)) _entries[key] = entry = new Entry();
        if (entry.TriedLength != batch.GridLength || entry.Sampling != sampling)
        {
            entry.TriedLength = batch.GridLength;
            entry.Sampling = sampling;
            entry.RecordedLength = 0; // drawn otherwise, or of another length
            step();
            return;
        }
        if (entry.Work is null) entry.Work = backend.Record(step);
        else if (entry.RecordedLength != batch.GridLength || !entry.RecordedLayout.AsSpan().SequenceEqual(layout)) entry.Work.Update(step);
        entry.RecordedLength = batch.GridLength;
        entry.RecordedLayout = layout;
        entry.Work.Run();
        Nodes = entry.Work.Nodes;
    }

    public void Dispose()
    {
        foreach (var entry in _entries.Values) entry.Work?.Dispose();
        _entries.Clear();
    }

    private sealed class Entry
    {
        /// <summary>The grid length that the step was last done for operation by operation.</summary>
        public int TriedLength { get; set; }

        /// <summary>How the step draws tokens.</summary>
        public SamplingOptions? Sampling { get; set; }

        /// <summary>The grid length of <see cref="Work"/>; 0 when it has to be recorded anew.</summary>
        public int RecordedLength { get; set; }

        /// <summary>The layout of <see cref="Work"/>.</summary>
        public int[] RecordedLayout { get; set; } = [];

        public RecordedWork? Work { get; set; }
    }
}
