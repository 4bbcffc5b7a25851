using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>128-bit vectors.</summary>
internal readonly unsafe struct Lanes128 : IVectorLanes<Vector128<float>>
{
    public static int Count => 4;

    public static Vector128<float> Zero => Vector128<float>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Load(float* source) => Vector128.Load(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector128<float> value, float* target) => value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Fill(float value) => Vector128.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> MultiplyAdd(Vector128<float> a, Vector128<float> b, Vector128<float> c) => Vector128.FusedMultiplyAdd(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Multiply(Vector128<float> a, Vector128<float> b) => a * b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Add(Vector128<float> a, Vector128<float> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Subtract(Vector128<float> a, Vector128<float> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Max(Vector128<float> a, Vector128<float> b) => Vector128.MaxNative(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector128<float> a) => Vector128.Sum(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxLane(Vector128<float> a) => MathF.Max(MathF.Max(a[0], a[1]), MathF.Max(a[2], a[3]));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Sum4(Vector128<float> a, Vector128<float> b, Vector128<float> c, Vector128<float> d)
    {
        if (!Sse2.IsSupported) return Vector128.Create(Vector128.Sum(a), Vector128.Sum(b), Vector128.Sum(c), Vector128.Sum(d));
        var ab = (Sse.UnpackLow(a, b) + Sse.UnpackHigh(a, b)).AsDouble();
        var cd = (Sse.UnpackLow(c, d) + Sse.UnpackHigh(c, d)).AsDouble();
        return Sse2.UnpackLow(ab, cd).AsSingle() + Sse2.UnpackHigh(ab, cd).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> BitsToExponent(Vector128<float> a) => (a.AsInt32() << 23).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> EvenHalves(byte* source)
    {
        var pairs = Vector128.Load((uint*)source);
        return DecodeHalf(pairs << 13, pairs << 16);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> OddHalves(byte* source)
    {
        var pairs = Vector128.Load((uint*)source);
        return DecodeHalf(pairs >>> 3, pairs);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> EvenBFloats(byte* source) => (Vector128.Load((uint*)source) << 16).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> OddBFloats(byte* source) => (Vector128.Load((uint*)source) & Vector128.Create(0xffff0000u)).AsSingle();

    // The exponent e of the half goes in as e + 96, so a normal half has its value times 2^-16. With e = 0 the result has an implicit one too many and half the step:
    // 2^-31 (1 + m/1024) where 2^-30 m/1024 is meant, which is 2x - 2^-30; for every normal half that is no smaller than x, so the minimum is right for both.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> DecodeHalf(Vector128<uint> magnitude, Vector128<uint> sign)
    {
        var x = ((magnitude & Vector128.Create(0x0fffe000u)) | Vector128.Create(0x30000000u)).AsSingle();
        var subnormal = Vector128.FusedMultiplyAdd(x, Vector128.Create(2f), Vector128.Create(-9.31322574615478515625e-10f));
        return ((sign & Vector128.Create(0x80000000u)) | Vector128.MinNative(x, subnormal).AsUInt32()).AsSingle();
    }
}
