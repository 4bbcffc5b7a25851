using IlgpuSparse.Compute;

namespace IlgpuSparse.Attention;

/// <summary>
/// How decode steps attend: which tokens of the cache are read. K and V are all kept; a policy may keep more beside them (labels) and is told of every appended key. One policy belongs to one decoder.
/// </summary>
public abstract class AttentionPolicy : IDisposable
{
    /// <summary>The policy in words, with its budget.</summary>
    public abstract string Description { get; }

    /// <summary>Bytes that it keeps a cached token, beside K and V.</summary>
    public abstract long AuxiliaryBytesPerToken { get; }

    /// <summary>Takes note of the keys <c>[row, kvHead, headDim]</c> (after RoPE) that were just appended to <paramref name="layer"/>, by prefill or by a step.</summary>
    public abstract void Append(int layer, StepBatch batch, DeviceSpan k);

    /// <summary>Attention of a decode step in <paramref name="layer"/>: <paramref name="q"/> and <paramref name="y"/> are <c>[row, head, headDim]</c>; the row's own key and value are in the cache.</summary>
    public abstract void Attend(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y);

    /// <summary>
    /// Which of its ways this step takes, as a small number: steps of as many rows and the same mode ask for the same operations, so that one recording serves them.
    /// </summary>
    public virtual int Mode(StepBatch batch) => 0;

    /// <summary>Whether its operations leave the host out, so that a backend may record a step and run it again. A policy that computes on the host has its steps done operation by operation.</summary>
    public virtual bool IsRecordable => true;

    /// <summary>The token sets that the last attention of <paramref name="layer"/> read; null where it read every token.</summary>
    internal virtual TokenSets? SetsOf(int layer, StepBatch batch) => null;

    /// <summary>Bytes of K, V and auxiliary data that a step at <paramref name="position"/> reads over all layers.</summary>
    public abstract long BytesRead(int position);

    /// <summary>What it keeps of the tokens of <paramref name="layer"/>: buffers of as many bytes for every block of the cache.</summary>
    /// <exception cref="NotSupportedException">It keeps something else.</exception>
    internal virtual IReadOnlyList<DeviceBuffer?> State(int layer) => [];

    /// <summary>Tells <see cref="State"/> of one meaning from that of another.</summary>
    internal virtual string StateSignature => "nothing";

    /// <summary>Whether a step wants <see cref="Predict"/> for <paramref name="layer"/> while the layer before is computed.</summary>
    internal virtual bool Predicts(int layer, StepBatch batch) => false;

    /// <summary>Selects for the query <paramref name="q"/> <c>[row, head, headDim]</c> that <paramref name="layer"/> will have about, and has the rows brought.</summary>
    internal virtual void Predict(int layer, StepBatch batch, DeviceSpan q) { }

    /// <summary>The sets that its steps attend to, whose rows a cache in host memory makes room for; null where it selects nothing.</summary>
    internal virtual TokenSets? Selection => null;

    /// <inheritdoc/>
    public abstract void Dispose();
}
