using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using IlgpuSparse.Compute.Cpu;

namespace IlgpuSparse.Benchmarks;

/// <summary>The yardstick of a sparse step: reading pieces that lie anywhere, each fetched some pieces ahead, and doing nothing with them. A task has as many pieces as the others, in their order.</summary>
internal unsafe struct PieceReading : IParallelJob
{
    private const int LineBytes = 64;

    private long* _pieces;
    private int _taskPieces, _pieceBytes, _ahead;

    /// <summary>Kept so that the reads are not left out.</summary>
    public static int Sink;

    /// <param name="pool">Who reads.</param>
    /// <param name="pieces">The pieces' addresses <c>[task][piece]</c>.</param>
    /// <param name="tasks">Tasks.</param>
    /// <param name="pieceBytes">Bytes a piece, pairs of lines.</param>
    /// <param name="ahead">Pieces from a fetch to its use.</param>
    public static void Run(WorkerPool pool, ReadOnlySpan<long> pieces, int tasks, int pieceBytes, int ahead)
    {
        fixed (long* first = pieces)
        {
            var job = new PieceReading { _pieces = first, _taskPieces = pieces.Length / tasks, _pieceBytes = pieceBytes, _ahead = ahead };
            pool.Run(ref job, tasks);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly void Execute(int task, int worker)
    {
        long* pieces = _pieces + (long)task * _taskPieces;
        Vector512<int> a = default, b = default;
        for (int i = 0; i < _taskPieces; i++)
        {
            byte* now = (byte*)pieces[i], next = (byte*)pieces[Math.Min(i + _ahead, _taskPieces - 1)];
            for (int at = 0; at < _pieceBytes; at += 2 * LineBytes)
            {
                if (Sse.IsSupported)
                {
                    Sse.Prefetch0(next + at);
                    Sse.Prefetch0(next + at + LineBytes);
                }
                a ^= Vector512.Load((int*)(now + at));
                b ^= Vector512.Load((int*)(now + at + LineBytes));
            }
        }
        Sink = (a ^ b).ToScalar();
    }
}
