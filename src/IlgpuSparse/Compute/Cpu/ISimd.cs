using System.Runtime.Intrinsics;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// A vector of 32-bit lanes, floats or integers, so that a kernel is written once and compiled for 512, 256 and 128 bits. Integer operations see the lanes as bits.
/// Kernels made of these small methods are marked NoInlining as well as AggressiveOptimization: inlined once more, into a caller that the runtime recompiles after a while, they use up the
/// compiler's budget, and what is left of them are calls, ten times slower.
/// </summary>
internal unsafe interface ISimd<TSelf> where TSelf : struct, ISimd<TSelf>
{
    /// <summary>Lanes: 16, 8 or 4.</summary>
    static abstract int Count { get; }

    /// <summary>All bits zero.</summary>
    static abstract TSelf Zero { get; }

    /// <summary>The number in every lane.</summary>
    static abstract TSelf Create(float value);

    /// <summary>Floats from memory; no alignment asked for.</summary>
    static abstract TSelf Load(float* source);

    /// <summary>Floats to memory.</summary>
    static abstract void Store(TSelf value, float* target);

    /// <summary>Half-precision numbers times <see cref="HalfBits.LoadFactor"/>, as floats. Infinities and NaN come out as large finite numbers; weights have none.</summary>
    static abstract TSelf LoadHalves(ushort* source);

    /// <summary>bfloat16 numbers as floats.</summary>
    static abstract TSelf LoadBFloats(ushort* source);

    /// <summary>Signed bytes as floats.</summary>
    static abstract TSelf LoadSBytes(byte* source);

    /// <summary>Unsigned bytes as integers.</summary>
    static abstract TSelf LoadBytes(byte* source);

    /// <summary>a + b.</summary>
    static abstract TSelf Add(TSelf a, TSelf b);

    /// <summary>a - b.</summary>
    static abstract TSelf Subtract(TSelf a, TSelf b);

    /// <summary>The smaller of each pair; b where either is NaN on x86.</summary>
    static abstract TSelf Min(TSelf a, TSelf b);

    /// <summary>The larger of each pair; b where either is NaN on x86.</summary>
    static abstract TSelf Max(TSelf a, TSelf b);

    /// <summary>a · b.</summary>
    static abstract TSelf Multiply(TSelf a, TSelf b);

    /// <summary>a · b + c, fused where the processor can.</summary>
    static abstract TSelf MultiplyAdd(TSelf a, TSelf b, TSelf c);

    /// <summary>a / b.</summary>
    static abstract TSelf Divide(TSelf a, TSelf b);

    /// <summary>e to the power of each lane.</summary>
    static abstract TSelf Exp(TSelf value);

    /// <summary>Integer lanes masked.</summary>
    static abstract TSelf And(TSelf bits, int mask);

    /// <summary>Integer lanes masked, by a vector that is held.</summary>
    static abstract TSelf And(TSelf a, TSelf b);

    /// <summary>Union of integer lanes.</summary>
    static abstract TSelf Or(TSelf a, TSelf b);

    /// <summary>(bits &amp; mask) | other, one instruction where the processor has it.</summary>
    static abstract TSelf Merge(TSelf bits, TSelf mask, TSelf other);

    /// <summary>Integer lanes shifted left.</summary>
    static abstract TSelf ShiftLeft(TSelf bits, int count);

    /// <summary>Integer lanes shifted right, zeros in.</summary>
    static abstract TSelf ShiftRight(TSelf bits, int count);

    /// <summary>Integer lanes shifted right, copies of the sign in.</summary>
    static abstract TSelf ShiftRightArithmetic(TSelf bits, int count);

    /// <summary>Integer lanes as floats.</summary>
    static abstract TSelf ToFloat(TSelf bits);

    /// <summary>scale · n + offset where n is the number in the lowest four bits of each integer lane; the higher bits do not matter.</summary>
    static abstract TSelf Nibble(TSelf bits, TSelf scale, TSelf offset);

    /// <summary>n - 8 where n is the number in the lowest four bits of each integer lane.</summary>
    static abstract TSelf CentredNibble(TSelf bits);

    /// <summary>Sum of the lanes.</summary>
    static abstract float Sum(TSelf value);

    /// <summary>The sums of the lanes of four vectors.</summary>
    static abstract Vector128<float> Sum4(TSelf a, TSelf b, TSelf c, TSelf d);

    /// <summary>The largest lane.</summary>
    static abstract float MaxLane(TSelf value);
}
