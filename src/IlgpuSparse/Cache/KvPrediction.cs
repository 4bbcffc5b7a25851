namespace IlgpuSparse.Cache;

/// <summary>Whether rows of K and V in host memory are brought a layer ahead (with K and V on the device <see cref="Trust"/> attends as it would there), for the query that the next layer would have if this one changed nothing: its own norm, query weights and position over this layer's residual.</summary>
public enum KvPrediction
{
    /// <summary>Rows are fetched when they are known.</summary>
    Off,

    /// <summary>Rows are brought ahead; those that were not are fetched when they are known, all of them or those that weigh enough (<see cref="Llama.DecoderOptions.KvLateLeast"/>). Where all are, results are those without prediction, to the bit.</summary>
    Late,

    /// <summary>The predicted rows are attended to, and none is fetched late. With mean-value correction, what was not selected stands in by its estimated mass.</summary>
    Trust,
}
