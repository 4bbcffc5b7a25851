using System.Runtime.Intrinsics;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// The vector operations that attention needs, for one register width. Kernels are written once over this and compiled for each width, since both type arguments are structs.
/// </summary>
/// <typeparam name="TVector"><see cref="Vector512{T}"/>, <see cref="Vector256{T}"/> or <see cref="Vector128{T}"/> of float.</typeparam>
internal unsafe interface IVectorLanes<TVector> where TVector : struct
{
    /// <summary>Lanes of a vector.</summary>
    static abstract int Count { get; }

    /// <summary>All lanes zero.</summary>
    static abstract TVector Zero { get; }

    /// <summary>Reads <see cref="Count"/> floats.</summary>
    static abstract TVector Load(float* source);

    /// <summary>Writes <see cref="Count"/> floats.</summary>
    static abstract void Store(TVector value, float* target);

    /// <summary>The same value in all lanes.</summary>
    static abstract TVector Fill(float value);

    /// <summary>a · b + c, rounded once.</summary>
    static abstract TVector MultiplyAdd(TVector a, TVector b, TVector c);

    /// <summary>a · b.</summary>
    static abstract TVector Multiply(TVector a, TVector b);

    /// <summary>a + b.</summary>
    static abstract TVector Add(TVector a, TVector b);

    /// <summary>a − b.</summary>
    static abstract TVector Subtract(TVector a, TVector b);

    /// <summary>The larger; where either is NaN what the processor gives fastest.</summary>
    static abstract TVector Max(TVector a, TVector b);

    /// <summary>Sum of the lanes.</summary>
    static abstract float Sum(TVector a);

    /// <summary>Largest lane.</summary>
    static abstract float MaxLane(TVector a);

    /// <summary>The lane sums of four vectors: (Σa, Σb, Σc, Σd).</summary>
    static abstract Vector128<float> Sum4(TVector a, TVector b, TVector c, TVector d);

    /// <summary>The bits of each lane, shifted left by 23: an integer in the low bits becomes an exponent.</summary>
    static abstract TVector BitsToExponent(TVector a);

    /// <summary>
    /// The even elements of 2·<see cref="Count"/> halves at <paramref name="source"/>, times 2^-16. Exact for every finite half, subnormal ones included, without ever
    /// handing a subnormal float to the floating-point unit, which costs over a hundred cycles on many processors. Infinities and NaNs come out as numbers of magnitude 1 to 2.
    /// </summary>
    static abstract TVector EvenHalves(byte* source);

    /// <summary>The odd elements, as <see cref="EvenHalves"/>.</summary>
    static abstract TVector OddHalves(byte* source);

    /// <summary>The even elements of 2·<see cref="Count"/> bfloat16 numbers.</summary>
    static abstract TVector EvenBFloats(byte* source);

    /// <summary>The odd elements of 2·<see cref="Count"/> bfloat16 numbers.</summary>
    static abstract TVector OddBFloats(byte* source);
}
