namespace IlgpuSparse.Compute.Gpu.Offload;

/// <summary>The device's side of a layer whose K and V lie in host memory.</summary>
/// <param name="Owner">What all layers share.</param>
/// <param name="Index">Which layer.</param>
/// <param name="Resident">Blocks that stay on the device; its table says whose they are.</param>
/// <param name="Hot">Rows that were read lately; null for none.</param>
internal sealed record OffloadedLayer(KvOffload Owner, int Index, KvLayer Resident, HotRows? Hot) : IDisposable
{
    public void Dispose()
    {
        Resident.K.Dispose();
        Resident.V.Dispose();
        Resident.KScales?.Dispose();
        Resident.VScales?.Dispose();
        Hot?.Dispose();
    }
}
