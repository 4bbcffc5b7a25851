using System.Buffers.Binary;
using System.Runtime.InteropServices;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Model;

namespace IlgpuSparse.Benchmarks;

/// <summary>
/// A gibibyte of weights <c>[outputs, columns]</c>, one matrix after the other, taken in turn: more than any cache holds, so that each product reads memory, as a model does.
/// </summary>
internal sealed unsafe class StreamedWeights : IDisposable
{
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
        byte[] pattern = Pattern(random, format, 64 * columns);
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

    /// <summary>Weights as models have them, a normal distribution of 0.02, or random codes with an ordinary scale.</summary>
    public static byte[] Pattern(Random random, WeightFormat format, int count)
    {
        byte[] bytes = new byte[format.ByteLength(count)];
        random.NextBytes(bytes);
        int size = format.BlockBytes();
        for (int at = 0; at < bytes.Length; at += size)
        {
            var block = bytes.AsSpan(at, size);
            float value = (float)(0.02 * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
            switch (format)
            {
                case WeightFormat.F32: BinaryPrimitives.WriteSingleLittleEndian(block, value); break;
                case WeightFormat.F16: BinaryPrimitives.WriteHalfLittleEndian(block, (Half)value); break;
                case WeightFormat.BF16: BinaryPrimitives.WriteUInt16LittleEndian(block, (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)); break;
                case WeightFormat.Q6_K: BinaryPrimitives.WriteHalfLittleEndian(block[208..], (Half)1e-3f); break;
                default: BinaryPrimitives.WriteHalfLittleEndian(block, (Half)1e-3f); BinaryPrimitives.WriteHalfLittleEndian(block[2..], (Half)1e-3f); break;
            }
        }
        return bytes;
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(Data);
        NativeMemory.AlignedFree(_x);
        NativeMemory.AlignedFree(_y);
    }
}
