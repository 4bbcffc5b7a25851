using System.Runtime.InteropServices;

namespace IlgpuSparse.Compute;

/// <summary>
/// A copy of a small buffer to the host that is asked for now and waited for later, so that the device goes on meanwhile. This form copies when it is waited for, which suits backends whose operations are done
/// when a call returns: the values are then those of the wait.
/// </summary>
/// <param name="source">What is copied; it stays the caller's.</param>
public class DeferredDownload(DeviceBuffer source) : IDisposable
{
    private readonly int[] _values = new int[source.ByteLength / sizeof(int)];

    /// <summary>What is copied.</summary>
    protected DeviceBuffer Source => source;

    /// <summary>Asks for the copy, behind all that was asked of the backend before.</summary>
    public virtual void Start() { }

    /// <summary>Waits for the copy and returns its values, int32, valid until the next <see cref="Start"/>.</summary>
    public virtual ReadOnlySpan<int> Wait()
    {
        source.Download(MemoryMarshal.AsBytes(_values.AsSpan()));
        return _values;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees what the form has beside its source.</summary>
    protected virtual void Dispose(bool disposing) { }
}
