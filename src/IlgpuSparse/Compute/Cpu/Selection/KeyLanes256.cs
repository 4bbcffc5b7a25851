using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace IlgpuSparse.Compute.Cpu.Selection;

/// <summary>256-bit registers.</summary>
internal readonly unsafe struct KeyLanes256 : IKeyLanes<Vector256<int>>
{
    public static int Count => 8;

    public static Vector256<int> Ascending => Vector256<int>.Indices;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Create(int value) => Vector256.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Load(int* source) => Vector256.Load(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<int> value, int* target) => value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Add(Vector256<int> a, Vector256<int> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Min(Vector256<int> a, Vector256<int> b) => Vector256.Min(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Max(Vector256<int> a, Vector256<int> b) => Vector256.Max(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Greater(Vector256<int> a, Vector256<int> b) => Vector256.GreaterThan(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Same(Vector256<int> a, Vector256<int> b) => Vector256.Equals(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> And(Vector256<int> a, Vector256<int> b) => a & b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Or(Vector256<int> a, Vector256<int> b) => a | b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Not(Vector256<int> mask) => ~mask;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> ToKeys(Vector256<int> scores)
    {
        var x = scores.AsSingle() + Vector256<float>.Zero; // -0 becomes +0
        var bits = x.AsInt32();
        var keys = bits ^ ((bits >> 31) & Vector256.Create(int.MaxValue));
        return Vector256.ConditionalSelect(Vector256.Equals(x, x).AsInt32(), keys, Vector256.Create(int.MinValue));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int CountTrue(Vector256<int> mask) => BitOperations.PopCount(mask.ExtractMostSignificantBits());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Compress(Vector256<int> value, Vector256<int> mask, int* target)
    {
        KeyLanes128.Compress(value.GetLower(), mask.GetLower(), target);
        KeyLanes128.Compress(value.GetUpper(), mask.GetUpper(), target + KeyLanes128.CountTrue(mask.GetLower()));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int CompressAtLeast(Vector256<int> scores, Vector256<int> threshold, Vector256<int> positions, int* scoreTarget, int* positionTarget)
    {
        var mask = Vector256.GreaterThanOrEqual(scores.AsSingle(), threshold.AsSingle()).AsInt32();
        Compress(scores, mask, scoreTarget);
        Compress(positions, mask, positionTarget);
        return CountTrue(mask);
    }
}
