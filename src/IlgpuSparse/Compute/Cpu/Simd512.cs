using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>16 floats or integers in one 512-bit register.</summary>
internal readonly unsafe struct Simd512(Vector512<float> value) : ISimd<Simd512>
{
    private readonly Vector512<float> _value = value;

    public static int Count => 16;

    public static Simd512 Zero
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(Vector512<float>.Zero);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Create(float value) => new(Vector512.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Load(float* source) => new(Vector512.Load(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Simd512 value, float* target) => value._value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 LoadHalves(ushort* source)
    {
        // Sign extension and one shift put sign, exponent and mantissa where a single has them; bit 30 adds 128 to the exponent. That is exact for normal numbers and leaves
        // m (in units of the scaled 2^-14) instead of 2m - 2^-14 for subnormal ones, and the smaller of the two is always the right one. No step meets a subnormal single, which
        // would cost a hundred cycles: one weight in four hundred of an ordinary fp16 matrix is subnormal.
        var bits = Vector512.ShiftLeft(Avx512F.ConvertToVector512Int32(Vector256.Load((short*)source)), 13);
        var normal = ((bits & Vector512.Create(0x0fffe000)) | Vector512.Create(0x40000000)).AsSingle();
        var magnitude = Vector512.MinNative(normal, Vector512.MultiplyAddEstimate(normal, Vector512.Create(2f), Vector512.Create(-4f)));
        return new(Vector512.ConditionalSelect(Vector512.Create(unchecked((int)0x80000000)), bits, magnitude.AsInt32()).AsSingle());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 LoadBFloats(ushort* source) => new(Vector512.ShiftLeft(Avx512F.ConvertToVector512Int32(Vector256.Load((short*)source)), 16).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 LoadSBytes(byte* source) => new(Vector512.ConvertToSingle(Avx512F.ConvertToVector512Int32(Vector128.Load((sbyte*)source))));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 LoadBytes(byte* source) => new(Avx512F.ConvertToVector512Int32(Vector128.Load(source)).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Subtract(Simd512 a, Simd512 b) => new(a._value - b._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Min(Simd512 a, Simd512 b) => new(Vector512.MinNative(a._value, b._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Max(Simd512 a, Simd512 b) => new(Vector512.MaxNative(a._value, b._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Add(Simd512 a, Simd512 b) => new(a._value + b._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Multiply(Simd512 a, Simd512 b) => new(a._value * b._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 MultiplyAdd(Simd512 a, Simd512 b, Simd512 c) => new(Vector512.MultiplyAddEstimate(a._value, b._value, c._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Divide(Simd512 a, Simd512 b) => new(a._value / b._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Exp(Simd512 value) => new(Vector512.Exp(value._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 And(Simd512 bits, int mask) => new((bits._value.AsInt32() & Vector512.Create(mask)).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 And(Simd512 a, Simd512 b) => new((a._value.AsInt32() & b._value.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Or(Simd512 a, Simd512 b) => new((a._value.AsInt32() | b._value.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Merge(Simd512 bits, Simd512 mask, Simd512 other) => Avx512F.IsSupported
        ? new(Avx512F.TernaryLogic(bits._value.AsInt32(), mask._value.AsInt32(), other._value.AsInt32(), 0xea).AsSingle())
        : new(((bits._value.AsInt32() & mask._value.AsInt32()) | other._value.AsInt32()).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 ShiftLeft(Simd512 bits, int count) => new(Vector512.ShiftLeft(bits._value.AsInt32(), count).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 ShiftRight(Simd512 bits, int count) => new(Vector512.ShiftRightLogical(bits._value.AsInt32(), count).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 ShiftRightArithmetic(Simd512 bits, int count) => new(Vector512.ShiftRightArithmetic(bits._value.AsInt32(), count).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 ToFloat(Simd512 bits) => new(Vector512.ConvertToSingle(bits._value.AsInt32()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 Nibble(Simd512 bits, Simd512 scale, Simd512 offset)
    {
        // The permutation looks at four bits of each index, so it masks, converts, scales and shifts in one instruction.
        var table = MultiplyAdd(new(Vector512.Create(0f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)), scale, offset);
        return new(Avx512F.PermuteVar16x32(table._value, bits._value.AsInt32()));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512 CentredNibble(Simd512 bits) => new(Avx512F.PermuteVar16x32(Vector512.Create(-8f, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7), bits._value.AsInt32()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Simd512 value) => Vector512.Sum(value._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Sum4(Simd512 a, Simd512 b, Simd512 c, Simd512 d)
    {
        if (!Avx512F.IsSupported)
            return Simd256.Sum4(new(Fold(a)), new(Fold(b)), new(Fold(c)), new(Fold(d)));
        // transpose and add inside the 128-bit lanes, then add the lanes
        var ab = (Avx512F.UnpackLow(a._value, b._value) + Avx512F.UnpackHigh(a._value, b._value)).AsDouble();
        var cd = (Avx512F.UnpackLow(c._value, d._value) + Avx512F.UnpackHigh(c._value, d._value)).AsDouble();
        var sums = Fold(new(Avx512F.UnpackLow(ab, cd).AsSingle() + Avx512F.UnpackHigh(ab, cd).AsSingle()));
        return sums.GetLower() + sums.GetUpper();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxLane(Simd512 value) => Simd256.MaxLane(new(Vector256.MaxNative(value._value.GetLower(), value._value.GetUpper())));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Fold(Simd512 value) => value._value.GetLower() + value._value.GetUpper();
}
