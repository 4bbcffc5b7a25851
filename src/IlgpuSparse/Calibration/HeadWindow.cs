namespace IlgpuSparse.Calibration;

/// <summary>What calibration kept of one window of text for one (layer, kv head).</summary>
/// <param name="Count">Keys.</param>
/// <param name="Keys"><c>[key, headDim]</c>, in the order of their positions.</param>
/// <param name="Queries"><c>[query, head of the group, headDim]</c>.</param>
/// <param name="Visible">How many of the keys each query sees.</param>
internal sealed record HeadWindow(int Count, float[] Keys, float[] Queries, int[] Visible);
