using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu.Weights;

/// <summary>Half precision.</summary>
internal readonly unsafe struct F16Weights : IWeightFormat
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static float Dot<V>(byte* row, float* x, int columns) where V : struct, ISimd<V>
    {
        var w = (ushort*)row;
        V sum0 = V.Zero, sum1 = V.Zero, sum2 = V.Zero, sum3 = V.Zero;
        int c = 0;
        for (; c <= columns - 4 * V.Count; c += 4 * V.Count)
        {
            Prefetch.Ahead((byte*)(w + c));
            Prefetch.Ahead((byte*)(w + c + 2 * V.Count));
            sum0 = V.MultiplyAdd(V.LoadHalves(w + c), V.Load(x + c), sum0);
            sum1 = V.MultiplyAdd(V.LoadHalves(w + c + V.Count), V.Load(x + c + V.Count), sum1);
            sum2 = V.MultiplyAdd(V.LoadHalves(w + c + 2 * V.Count), V.Load(x + c + 2 * V.Count), sum2);
            sum3 = V.MultiplyAdd(V.LoadHalves(w + c + 3 * V.Count), V.Load(x + c + 3 * V.Count), sum3);
        }
        for (; c <= columns - V.Count; c += V.Count) sum0 = V.MultiplyAdd(V.LoadHalves(w + c), V.Load(x + c), sum0);
        float sum = V.Sum(V.Add(V.Add(sum0, sum1), V.Add(sum2, sum3))) * (1 / HalfBits.LoadFactor);
        for (; c < columns; c++) sum += HalfBits.Table[w[c]] * x[c];
        return sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Dequantise<V>(byte* row, float* target, int count) where V : struct, ISimd<V>
    {
        var w = (ushort*)row;
        int c = 0;
        for (; c <= count - V.Count; c += V.Count) V.Store(V.Multiply(V.LoadHalves(w + c), V.Create(1 / HalfBits.LoadFactor)), target + c);
        for (; c < count; c++) target[c] = HalfBits.Table[w[c]];
    }
}
