using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Conversion of fp32 rows to the element types of the cache, rounding to nearest, ties to even.</summary>
internal static unsafe class KvRowWriter
{
    // Both 16-bit conversions write sixteen numbers at a time.
    private const int Step = 16;

    /// <summary>Converts <paramref name="count"/> numbers (16 or more).</summary>
    public static void Write(KvFormat format, float* source, byte* target, int count)
    {
        switch (format)
        {
            case KvFormat.F32: Unsafe.CopyBlockUnaligned(target, source, (uint)count * sizeof(float)); break;
            case KvFormat.F16: WriteHalves(source, (ushort*)target, count); break;
            case KvFormat.BF16: WriteBFloats(source, (ushort*)target, count); break;
            default: throw new ArgumentException($"the CPU backend has no K and V in {format}", nameof(format));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void WriteHalves(float* source, ushort* target, int count)
    {
        for (int i = 0; i < count; i += Step)
        {
            int at = Math.Min(i, count - Step); // the last step goes back instead of leaving a tail
            Vector256.Narrow(Half(Vector256.Load(source + at)), Half(Vector256.Load(source + at + 8))).Store(target + at);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void WriteBFloats(float* source, ushort* target, int count)
    {
        for (int i = 0; i < count; i += Step)
        {
            int at = Math.Min(i, count - Step);
            Vector256.Narrow(BFloat(Vector256.Load(source + at)), BFloat(Vector256.Load(source + at + 8))).Store(target + at);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Half(Vector256<float> value)
    {
        var bits = value.AsUInt32();
        var sign = (bits & Vector256.Create(0x80000000u)) >>> 16;
        var magnitude = bits & Vector256.Create(0x7fffffffu);
        // From 2^-14: rebias the exponent and round off 13 bits; a carry runs on into the exponent, up to infinity.
        var odd = (magnitude >>> 13) & Vector256<uint>.One;
        var normal = (magnitude + Vector256.Create(unchecked((uint)(15 - 127) << 23) + 0xfffu) + odd) >>> 13;
        // Below: adding 2^-1, whose last place is the smallest half, lets the addition do the rounding.
        var shifted = magnitude.AsSingle() + Vector256.Create(0.5f);
        var small = shifted.AsUInt32() - Vector256.Create(0.5f).AsUInt32();
        var result = Vector256.ConditionalSelect(Vector256.LessThan(magnitude, Vector256.Create(113u << 23)), small, normal);
        var tooLarge = Vector256.ConditionalSelect(Vector256.GreaterThan(magnitude, Vector256.Create(0x7f800000u)), Vector256.Create(0x7e00u), Vector256.Create(0x7c00u));
        return sign | Vector256.ConditionalSelect(Vector256.GreaterThanOrEqual(magnitude, Vector256.Create(143u << 23)), tooLarge, result);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> BFloat(Vector256<float> value)
    {
        var bits = value.AsUInt32();
        var rounded = (bits + Vector256.Create(0x7fffu) + ((bits >>> 16) & Vector256<uint>.One)) >>> 16;
        var quiet = (bits >>> 16) | Vector256.Create(0x40u);
        return Vector256.ConditionalSelect(Vector256.Equals(value, value).AsUInt32(), rounded, quiet);
    }
}
