using System.Runtime.InteropServices;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Model;

namespace IlgpuSparse.Benchmarks;

/// <summary>
/// A gibibyte of weights <c>[outputs, columns]</c>, one matrix after the other, taken in turn: more than any cache holds, so that each product reads memory, as a model does.
/// </summary>
internal sealed unsafe class StreamedWeights : IDisposable
{
    /// <summary>Outputs of the feed-forward matrix of a 7B model.</summary>
    public const int TypicalOutputs = 11008;

    /// <summary>Its columns.</summary>
    public const int TypicalColumns = 4096;

    /// <summary>Bytes of all matrices.</summary>
    public const long Bytes = 1L << 30;

    private readonly float* _x, _y;
    private int _next;

    public StreamedWeights(WeightFormat format, int outputs, int columns, int rows)
    {
        (Format, Outputs, Columns, Rows) = (format, outputs, columns, rows);
        Data = (byte*)NativeMemory.AlignedAlloc((nuint)Bytes, 64);
        _x = (float*)NativeMemory.AlignedAlloc((nuint)((long)rows * columns * sizeof(float)), 64);
        _y = (float*)NativeMemory.AlignedAlloc((nuint)((long)rows * outputs * sizeof(float)), 64);
        var random = new Random(1);
        for (long i = 0; i < (long)rows * columns; i++) _x[i] = (float)(random.NextDouble() - 0.5);
        byte[] pattern = RandomWeightBytes.Create(random, format, 64 * columns);
        for (long at = 0; at < Bytes; at += pattern.Length)
            pattern.AsSpan(0, (int)Math.Min(pattern.Length, Bytes - at)).CopyTo(new Span<byte>(Data + at, pattern.Length));
    }

    public WeightFormat Format { get; }
    public int Outputs { get; }
    public int Columns { get; }
    public int Rows { get; }

    /// <summary>The first byte.</summary>
    public byte* Data { get; }

    /// <summary>Bytes of one matrix.</summary>
    public long MatrixBytes => Format.ByteLength((long)Outputs * Columns);

    /// <summary>The product with the next matrix.</summary>
    public void Multiply(WorkerPool pool)
    {
        long matrices = Bytes / MatrixBytes;
        byte* weight = Data + _next * MatrixBytes;
        _next = (int)((_next + 1) % matrices);
        CpuMatMul.Run(pool, new MatMulOperands(Format, (nint)weight, Outputs, Columns, (nint)_x, Rows, (nint)_y, 0, false));
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(Data);
        NativeMemory.AlignedFree(_x);
        NativeMemory.AlignedFree(_y);
    }
}
