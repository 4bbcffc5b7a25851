using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>512-bit vectors.</summary>
internal readonly unsafe struct Lanes512 : IVectorLanes<Vector512<float>>
{
    public static int Count => 16;

    public static Vector512<float> Zero => Vector512<float>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(float* source) => Vector512.Load(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector512<float> value, float* target) => value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Fill(float value) => Vector512.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> MultiplyAdd(Vector512<float> a, Vector512<float> b, Vector512<float> c) => Vector512.FusedMultiplyAdd(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Multiply(Vector512<float> a, Vector512<float> b) => a * b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Add(Vector512<float> a, Vector512<float> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Subtract(Vector512<float> a, Vector512<float> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Max(Vector512<float> a, Vector512<float> b) => Vector512.MaxNative(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector512<float> a) => Vector512.Sum(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxLane(Vector512<float> a) => Lanes256.MaxLane(Vector256.MaxNative(a.GetLower(), a.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Sum4(Vector512<float> a, Vector512<float> b, Vector512<float> c, Vector512<float> d)
    {
        if (!Avx512F.IsSupported)
            return Lanes256.Sum4(a.GetLower() + a.GetUpper(), b.GetLower() + b.GetUpper(), c.GetLower() + c.GetUpper(), d.GetLower() + d.GetUpper());
        // transpose and add inside the 128-bit lanes, then add the lanes
        var ab = (Avx512F.UnpackLow(a, b) + Avx512F.UnpackHigh(a, b)).AsDouble();
        var cd = (Avx512F.UnpackLow(c, d) + Avx512F.UnpackHigh(c, d)).AsDouble();
        var sums = Avx512F.UnpackLow(ab, cd).AsSingle() + Avx512F.UnpackHigh(ab, cd).AsSingle();
        var half = sums.GetLower() + sums.GetUpper();
        return half.GetLower() + half.GetUpper();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> BitsToExponent(Vector512<float> a) => (a.AsInt32() << 23).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> EvenHalves(byte* source)
    {
        var pairs = Vector512.Load((uint*)source);
        return DecodeHalf(pairs << 13, pairs << 16);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> OddHalves(byte* source)
    {
        var pairs = Vector512.Load((uint*)source);
        return DecodeHalf(pairs >>> 3, pairs);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> EvenBFloats(byte* source) => (Vector512.Load((uint*)source) << 16).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> OddBFloats(byte* source) => (Vector512.Load((uint*)source) & Vector512.Create(0xffff0000u)).AsSingle();

    // The exponent e of the half goes in as e + 96, so a normal half has its value times 2^-16. With e = 0 the result has an implicit one too many and half the step:
    // 2^-31 (1 + m/1024) where 2^-30 m/1024 is meant, which is 2x - 2^-30; for every normal half that is no smaller than x, so the minimum is right for both.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> DecodeHalf(Vector512<uint> magnitude, Vector512<uint> sign)
    {
        var x = ((magnitude & Vector512.Create(0x0fffe000u)) | Vector512.Create(0x30000000u)).AsSingle();
        var subnormal = Vector512.FusedMultiplyAdd(x, Vector512.Create(2f), Vector512.Create(-9.31322574615478515625e-10f));
        return ((sign & Vector512.Create(0x80000000u)) | Vector512.MinNative(x, subnormal).AsUInt32()).AsSingle();
    }
}
