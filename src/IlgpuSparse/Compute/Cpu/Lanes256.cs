using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>256-bit vectors.</summary>
internal readonly unsafe struct Lanes256 : IVectorLanes<Vector256<float>>
{
    public static int Count => 8;

    public static Vector256<float> Zero => Vector256<float>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(float* source) => Vector256.Load(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<float> value, float* target) => value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Fill(float value) => Vector256.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> MultiplyAdd(Vector256<float> a, Vector256<float> b, Vector256<float> c) => Vector256.FusedMultiplyAdd(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Multiply(Vector256<float> a, Vector256<float> b) => a * b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Add(Vector256<float> a, Vector256<float> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Subtract(Vector256<float> a, Vector256<float> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Max(Vector256<float> a, Vector256<float> b) => Vector256.MaxNative(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector256<float> a) => Vector256.Sum(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxLane(Vector256<float> a) => Lanes128.MaxLane(Vector128.MaxNative(a.GetLower(), a.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Sum4(Vector256<float> a, Vector256<float> b, Vector256<float> c, Vector256<float> d)
    {
        if (!Avx.IsSupported)
            return Lanes128.Sum4(a.GetLower() + a.GetUpper(), b.GetLower() + b.GetUpper(), c.GetLower() + c.GetUpper(), d.GetLower() + d.GetUpper());
        // transpose and add inside the 128-bit lanes, then add the lanes
        var ab = (Avx.UnpackLow(a, b) + Avx.UnpackHigh(a, b)).AsDouble();
        var cd = (Avx.UnpackLow(c, d) + Avx.UnpackHigh(c, d)).AsDouble();
        var sums = Avx.UnpackLow(ab, cd).AsSingle() + Avx.UnpackHigh(ab, cd).AsSingle();
        return sums.GetLower() + sums.GetUpper();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> BitsToExponent(Vector256<float> a) => (a.AsInt32() << 23).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> EvenHalves(byte* source)
    {
        var pairs = Vector256.Load((uint*)source);
        return DecodeHalf(pairs << 13, pairs << 16);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> OddHalves(byte* source)
    {
        var pairs = Vector256.Load((uint*)source);
        return DecodeHalf(pairs >>> 3, pairs);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> EvenBFloats(byte* source) => (Vector256.Load((uint*)source) << 16).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> OddBFloats(byte* source) => (Vector256.Load((uint*)source) & Vector256.Create(0xffff0000u)).AsSingle();

    // The exponent e of the half goes in as e + 96, so a normal half has its value times 2^-16. With e = 0 the result has an implicit one too many and half the step:
    // 2^-31 (1 + m/1024) where 2^-30 m/1024 is meant, which is 2x - 2^-30; for every normal half that is no smaller than x, so the minimum is right for both.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> DecodeHalf(Vector256<uint> magnitude, Vector256<uint> sign)
    {
        var x = ((magnitude & Vector256.Create(0x0fffe000u)) | Vector256.Create(0x30000000u)).AsSingle();
        var subnormal = Vector256.FusedMultiplyAdd(x, Vector256.Create(2f), Vector256.Create(-9.31322574615478515625e-10f));
        return ((sign & Vector256.Create(0x80000000u)) | Vector256.MinNative(x, subnormal).AsUInt32()).AsSingle();
    }
}
