namespace IlgpuSparse.Calibration;

/// <summary>How well the sets of each layer are known a layer ahead, by labels of one kind: what decides which layers' rows are brought before they are asked for.</summary>
/// <param name="Attention">The attention that was measured, as <see cref="Attention.AttentionOptions"/> reads it.</param>
/// <param name="Recall">By layer: the share of the tokens of a set that the set of the predicted query holds, too; 0 for the first layer, which is not predicted.</param>
public sealed record PredictionRecall(string Attention, IReadOnlyList<float> Recall);
