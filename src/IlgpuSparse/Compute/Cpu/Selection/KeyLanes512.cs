using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace IlgpuSparse.Compute.Cpu.Selection;

/// <summary>512-bit registers, with the compress instruction of AVX-512.</summary>
internal readonly unsafe struct KeyLanes512 : IKeyLanes<Vector512<int>>
{
    public static int Count => 16;

    public static Vector512<int> Ascending => Vector512<int>.Indices;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Create(int value) => Vector512.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Load(int* source) => Vector512.Load(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector512<int> value, int* target) => value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Add(Vector512<int> a, Vector512<int> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Min(Vector512<int> a, Vector512<int> b) => Vector512.Min(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Max(Vector512<int> a, Vector512<int> b) => Vector512.Max(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Greater(Vector512<int> a, Vector512<int> b) => Vector512.GreaterThan(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Same(Vector512<int> a, Vector512<int> b) => Vector512.Equals(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> And(Vector512<int> a, Vector512<int> b) => a & b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Or(Vector512<int> a, Vector512<int> b) => a | b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> Not(Vector512<int> mask) => ~mask;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<int> ToKeys(Vector512<int> scores)
    {
        var x = scores.AsSingle() + Vector512<float>.Zero; // -0 becomes +0
        var bits = x.AsInt32();
        var keys = bits ^ ((bits >> 31) & Vector512.Create(int.MaxValue));
        return Vector512.ConditionalSelect(Vector512.Equals(x, x).AsInt32(), keys, Vector512.Create(int.MinValue));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int CountTrue(Vector512<int> mask) => BitOperations.PopCount(mask.ExtractMostSignificantBits());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Compress(Vector512<int> value, Vector512<int> mask, int* target) => Avx512F.Compress(Vector512<int>.Zero, mask, value).Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int CompressAtLeast(Vector512<int> scores, Vector512<int> threshold, Vector512<int> positions, int* scoreTarget, int* positionTarget)
    {
        // all of it as floats, so that the mask stays in a mask register
        var mask = Vector512.GreaterThanOrEqual(scores.AsSingle(), threshold.AsSingle());
        Avx512F.Compress(Vector512<float>.Zero, mask, scores.AsSingle()).Store((float*)scoreTarget);
        Avx512F.Compress(Vector512<float>.Zero, mask, positions.AsSingle()).Store((float*)positionTarget);
        return BitOperations.PopCount(mask.ExtractMostSignificantBits());
    }
}
