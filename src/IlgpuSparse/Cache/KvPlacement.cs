namespace IlgpuSparse.Cache;

/// <summary>Where K and V lie.</summary>
public enum KvPlacement
{
    /// <summary>With the backend's other data.</summary>
    Device,

    /// <summary>In pinned host memory; a GPU keeps labels and few rows, and the rows that a step selects cross the bus (<see cref="HostKvCache"/>).</summary>
    Host,
}
