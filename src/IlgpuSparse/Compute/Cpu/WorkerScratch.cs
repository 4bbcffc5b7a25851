using System.Runtime.InteropServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// Native scratch memory that outlives a call: one area a worker and one that all workers share, each grown to the largest request so far, so that a decode step allocates
/// nothing once it is warm. Contents are undefined; an area is valid until the next request for it.
/// </summary>
internal sealed unsafe class WorkerScratch : IDisposable
{
    private readonly nint[] _areas;
    private readonly long[] _bytes;

    /// <summary>Prepares areas for <paramref name="workers"/> workers; nothing is allocated yet.</summary>
    public WorkerScratch(int workers)
    {
        _areas = new nint[workers + 1];
        _bytes = new long[workers + 1];
    }

    /// <summary>At least <paramref name="bytes"/> bytes, 64-byte aligned, that only <paramref name="worker"/> uses. To be called by that worker.</summary>
    public byte* Get(int worker, long bytes) => Area(worker, bytes);

    /// <summary>At least <paramref name="bytes"/> bytes, 64-byte aligned, for all workers. To be called before the parallel region.</summary>
    public byte* Shared(long bytes) => Area(_areas.Length - 1, bytes);

    private byte* Area(int area, long bytes)
    {
        if (bytes > _bytes[area])
        {
            NativeMemory.AlignedFree((void*)_areas[area]);
            _areas[area] = 0;
            _bytes[area] = 0;
            long room = (bytes + bytes / 2 + 4095) & ~4095L; // contexts grow a token at a time
            _areas[area] = (nint)NativeMemory.AlignedAlloc(checked((nuint)room), 64);
            _bytes[area] = room;
        }
        return (byte*)_areas[area];
    }

    public void Dispose()
    {
        for (int i = 0; i < _areas.Length; i++)
        {
            NativeMemory.AlignedFree((void*)_areas[i]);
            _areas[i] = 0;
            _bytes[i] = 0;
        }
        GC.SuppressFinalize(this);
    }

    ~WorkerScratch() => Dispose();
}
