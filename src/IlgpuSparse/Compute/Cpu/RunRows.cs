using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// Rows that follow one another inside a block, fetched as long a way ahead as memory takes. The processor's own prefetcher hardly overlaps memory with arithmetic: with it alone a run takes the time of
/// both, one after the other.
/// </summary>
internal readonly unsafe struct RunRows(byte* first, int rowBytes, int count, byte* next) : IKvRows
{
    /// <summary>How far ahead, in the order of use: the bytes that memory delivers to one core in its latency, and some more.</summary>
    public const int Distance = 8192;

    private readonly byte* _first = first;
    private readonly byte* _next = next;
    private readonly int _rowBytes = rowBytes;

    public int Count { get; } = count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Row(int token) => _first + (long)Math.Min(token, Count - 1) * _rowBytes;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Inside(int token) => _first + (long)token * _rowBytes;

    /// <summary>Nothing: they are fetched in pieces, as evenly as they are used.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void FetchRows(int token, int rows)
    {
    }

    /// <summary>Each piece fetches as many bytes of what lies at <c>next</c>, which is as long as the run; the pieces of a group of rows one after the other.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void FetchPiece(int token, int rows, int at, int bytes)
    {
        if (!Sse.IsSupported) return;
        byte* from = _next + (long)token * _rowBytes + at * rows;
        if (rows * bytes < 64)
        {
            // several pieces a line
            if ((at * rows & 63) == 0) Sse.Prefetch0(from);
            return;
        }
        Sse.Prefetch0(from);
        if (rows * bytes > 64) Sse.Prefetch0(from + 64);
        if (rows * bytes > 128) Sse.Prefetch0(from + 128);
        if (rows * bytes > 192) Sse.Prefetch0(from + 192);
        for (int line = 256; line < rows * bytes; line += 64) Sse.Prefetch0(from + line);
    }
}
