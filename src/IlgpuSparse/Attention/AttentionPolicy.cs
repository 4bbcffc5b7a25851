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

    /// <summary>
    /// Sees the queries <c>[row, head, headDim]</c> (after RoPE) of a pass that attends to every token in <paramref name="layer"/>, a prefill chunk or a dense step, whose keys have been appended: what methods that watch the
    /// attention of the prompt need.
    /// </summary>
    public virtual void Observe(int layer, StepBatch batch, DeviceSpan q) { }

    /// <summary>Attention of a decode step in <paramref name="layer"/>: <paramref name="q"/> and <paramref name="y"/> are <c>[row, head, headDim]</c>; the row's own key and value are in the cache.</summary>
    public abstract void Attend(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y);

    /// <summary>Whether <see cref="AppendAndAttend"/> takes V too, and writes K and V to the cache.</summary>
    internal virtual bool AppendsRows => false;

    /// <summary>
    /// <see cref="Append"/>, then <see cref="Attend"/>, which a policy may do in one go: what a decode step calls. With <paramref name="v"/>, where <see cref="AppendsRows"/>, the rows' own keys and values are not in the cache yet.
    /// </summary>
    internal virtual void AppendAndAttend(int layer, StepBatch batch, DeviceSpan k, DeviceSpan q, DeviceSpan y, DeviceSpan? v = null)
    {
        if (v is not null) throw new NotSupportedException($"{Description} takes keys and values that are in the cache");
        Append(layer, batch, k);
        Attend(layer, batch, q, y);
    }

    /// <summary>
    /// Which of its ways this step takes, as a small number: steps of as many rows and the same mode ask for the same operations, so that one recording serves them.
    /// </summary>
    public virtual int Mode(StepBatch batch) => 0;

    /// <summary>Whether its operations leave the host out, so that a backend may record a step and run it again. A policy that computes on the host has its steps done operation by operation.</summary>
    public virtual bool IsRecordable => true;

    /// <summary>
    /// Remembers what it knows of the cached sequences, for <see cref="Return"/>. Only a method whose choice depends on the choices before it, such as one that evicts, has anything to remember: all others follow the
    /// cache when a sequence is taken back.
    /// </summary>
    public virtual void Mark() { }

    /// <summary>Goes back to what <see cref="Mark"/> remembered; the sequences must have been taken back to where they were then.</summary>
    public virtual void Return() { }

    /// <summary>Whether a step's rows may be consecutive tokens of one sequence, in order, each attending as it would alone (see <see cref="Llama.LlamaDecoder.DecodeRun"/>).</summary>
    internal virtual bool TakesRuns => true;

    /// <summary>The sets that the last step in <paramref name="layer"/> read; null for every token.</summary>
    internal virtual TokenSets? SetsOf(int layer, StepBatch batch) => null;

    /// <summary>Its budget, to be changed to any that reads no more than the one it was made with: what it keeps of the keys does not depend on it.</summary>
    internal virtual SelectionRule Rule
    {
        get => default;
        set => throw new NotSupportedException($"{Description} has no budget");
    }

    /// <summary>Bytes of K and V that <paramref name="sets"/> of a step in <paramref name="layer"/> leave unread of what <see cref="BytesRead"/> counts: where sets may end early.</summary>
    internal virtual long BytesUnread(int layer, StepBatch batch, TokenSets sets) => 0;

    /// <summary>Share of K and V that the method needs to keep of a context of <paramref name="length"/> tokens: less than 1 where what is not read will never be.</summary>
    public virtual double KeptShare(int length) => 1;

    /// <summary>Bytes of K, V and auxiliary data that a step at <paramref name="position"/> reads over all layers; where a set ends earlier when it holds enough of the mass, those of the longest one.</summary>
    public abstract long BytesRead(int position);

    /// <summary>What it keeps of the tokens of <paramref name="layer"/>: buffers of as many bytes for every block of the cache.</summary>
    /// <exception cref="NotSupportedException">It keeps something else.</exception>
    internal virtual IReadOnlyList<DeviceBuffer?> State(int layer) => [];

    /// <summary>Tells <see cref="State"/> of one meaning from that of another.</summary>
    internal virtual string StateSignature => "nothing";

    /// <summary>Seconds that went into making channel maps of texts so far, and the labels by them.</summary>
    internal virtual double CalibrationSeconds => 0;

    /// <summary>Channel maps made of texts so far, those made anew among them.</summary>
    internal virtual int CalibratedMaps => 0;

    /// <summary>Whether a step wants <see cref="Predict"/> for <paramref name="layer"/> while the layer before is computed.</summary>
    internal virtual bool Predicts(int layer, StepBatch batch) => false;

    /// <summary>Selects for the query <paramref name="q"/> <c>[row, head, headDim]</c> that <paramref name="layer"/> will have about, and has the rows brought.</summary>
    internal virtual void Predict(int layer, StepBatch batch, DeviceSpan q) { }

    /// <summary>The sets that its steps attend to, whose rows a cache in host memory makes room for; null where it selects nothing.</summary>
    internal virtual TokenSets? Selection => null;

    /// <inheritdoc/>
    public abstract void Dispose();
}
