using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>8 floats or integers in one 256-bit register.</summary>
internal readonly unsafe struct Simd256(Vector256<float> value) : ISimd<Simd256>
{
    private readonly Vector256<float> _value = value;

    public static int Count => 8;

    public static Simd256 Zero
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(Vector256<float>.Zero);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Create(float value) => new(Vector256.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Load(float* source) => new(Vector256.Load(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Simd256 value, float* target) => value._value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 LoadHalves(ushort* source)
    {
        // Sign extension and one shift put sign, exponent and mantissa where a single has them; bit 30 adds 128 to the exponent. That is exact for normal numbers and leaves
        // m (in units of the scaled 2^-14) instead of 2m - 2^-14 for subnormal ones, and the smaller of the two is always the right one. No step meets a subnormal single, which
        // would cost a hundred cycles: one weight in four hundred of an ordinary fp16 matrix is subnormal.
        var bits = Vector256.ShiftLeft(Avx2.ConvertToVector256Int32((short*)source), 13);
        var normal = ((bits & Vector256.Create(0x0fffe000)) | Vector256.Create(0x40000000)).AsSingle();
        var magnitude = Vector256.MinNative(normal, Vector256.MultiplyAddEstimate(normal, Vector256.Create(2f), Vector256.Create(-4f)));
        return new(Vector256.ConditionalSelect(Vector256.Create(unchecked((int)0x80000000)), bits, magnitude.AsInt32()).AsSingle());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 LoadBFloats(ushort* source) => new(Vector256.ShiftLeft(Avx2.ConvertToVector256Int32((short*)source), 16).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 LoadSBytes(byte* source) => new(Vector256.ConvertToSingle(Avx2.ConvertToVector256Int32((sbyte*)source)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 LoadBytes(byte* source) => new(Avx2.ConvertToVector256Int32(source).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Subtract(Simd256 a, Simd256 b) => new(a._value - b._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Min(Simd256 a, Simd256 b) => new(Vector256.MinNative(a._value, b._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Max(Simd256 a, Simd256 b) => new(Vector256.MaxNative(a._value, b._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Add(Simd256 a, Simd256 b) => new(a._value + b._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Multiply(Simd256 a, Simd256 b) => new(a._value * b._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 MultiplyAdd(Simd256 a, Simd256 b, Simd256 c) => new(Vector256.MultiplyAddEstimate(a._value, b._value, c._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Divide(Simd256 a, Simd256 b) => new(a._value / b._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Exp(Simd256 value) => new(Vector256.Exp(value._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 And(Simd256 bits, int mask) => new((bits._value.AsInt32() & Vector256.Create(mask)).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 And(Simd256 a, Simd256 b) => new((a._value.AsInt32() & b._value.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Or(Simd256 a, Simd256 b) => new((a._value.AsInt32() | b._value.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Merge(Simd256 bits, Simd256 mask, Simd256 other) => Avx512F.VL.IsSupported
        ? new(Avx512F.VL.TernaryLogic(bits._value.AsInt32(), mask._value.AsInt32(), other._value.AsInt32(), 0xea).AsSingle())
        : new(((bits._value.AsInt32() & mask._value.AsInt32()) | other._value.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 ShiftLeft(Simd256 bits, int count) => new(Vector256.ShiftLeft(bits._value.AsInt32(), count).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 ShiftRight(Simd256 bits, int count) => new(Vector256.ShiftRightLogical(bits._value.AsInt32(), count).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 ShiftRightArithmetic(Simd256 bits, int count) => new(Vector256.ShiftRightArithmetic(bits._value.AsInt32(), count).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 ToFloat(Simd256 bits) => new(Vector256.ConvertToSingle(bits._value.AsInt32()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 Nibble(Simd256 bits, Simd256 scale, Simd256 offset) => MultiplyAdd(ToFloat(And(bits, 15)), scale, offset);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256 CentredNibble(Simd256 bits) => Add(ToFloat(And(bits, 15)), Create(-8));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Simd256 value) => Vector256.Sum(value._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Sum4(Simd256 a, Simd256 b, Simd256 c, Simd256 d)
    {
        if (!Avx.IsSupported) return Simd128.Sum4(new(Fold(a)), new(Fold(b)), new(Fold(c)), new(Fold(d)));
        // transpose and add inside the 128-bit lanes, then add the lanes
        var ab = (Avx.UnpackLow(a._value, b._value) + Avx.UnpackHigh(a._value, b._value)).AsDouble();
        var cd = (Avx.UnpackLow(c._value, d._value) + Avx.UnpackHigh(c._value, d._value)).AsDouble();
        return Fold(new(Avx.UnpackLow(ab, cd).AsSingle() + Avx.UnpackHigh(ab, cd).AsSingle()));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxLane(Simd256 value) => Simd128.MaxLane(new(Vector128.MaxNative(value._value.GetLower(), value._value.GetUpper())));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Fold(Simd256 value) => value._value.GetLower() + value._value.GetUpper();
}
