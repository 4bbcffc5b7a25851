using IlgpuSparse.Compute;

namespace IlgpuSparse.Llama;

/// <summary>
/// Decode steps that a backend has recorded, by rows and mode of the policy. A step of a new kind is done operation by operation once, which loads kernels and allocates scratch memory; it
/// is recorded when it comes again, and recorded anew when sequences have outgrown the sizes of the recording.
/// </summary>
internal sealed class RecordedSteps(ComputeBackend backend) : IDisposable
{
    private readonly Dictionary<(int Rows, int Mode), Entry> _entries = [];

    /// <summary>Does <paramref name="step"/> for <paramref name="batch"/>, by a recording where there is one.</summary>
    public void Run(StepBatch batch, int mode, Action step)
    {
        if (!backend.Records)
        {
            step();
            return;
        }
        if (!_entries.TryGetValue((batch.Rows, mode), out var entry)) _entries[(batch.Rows, mode)] = entry = new Entry();
        if (entry.TriedLength != batch.GridLength)
        {
            entry.TriedLength = batch.GridLength;
            step();
            return;
        }
        if (entry.Work is null) entry.Work = backend.Record(step);
        else if (entry.RecordedLength != batch.GridLength) entry.Work.Update(step);
        entry.RecordedLength = batch.GridLength;
        entry.Work.Run();
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

        /// <summary>The grid length of <see cref="Work"/>.</summary>
        public int RecordedLength { get; set; }

        public RecordedWork? Work { get; set; }
    }
}
