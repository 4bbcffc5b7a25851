using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>What an epilogue needs for two slots and is there, or follows from what is there, before the step's kernels begin: it is brought and worked out before the products are known (<see cref="ILinearEpilogue.Ahead"/>).</summary>
internal struct EpilogueTerms
{
    /// <summary>The rotation of a pair of channels.</summary>
    public float Cos, Sin;

    /// <summary>Which channels the two are, among those of all heads of their matrix.</summary>
    public int First, Second;

    /// <summary>The block of K and V that they belong to, and where in it.</summary>
    public int Block, InBlockFirst, InBlockSecond;

    /// <summary>Units of 16 bytes that they take in shared memory.</summary>
    public const int Units = 2;

    /// <summary>Writes them to unit <paramref name="at"/> and the next.</summary>
    public readonly void Store(ArrayView<U4> memory, int at)
    {
        memory[at] = new U4 { X = Interop.FloatAsInt(Cos), Y = Interop.FloatAsInt(Sin), Z = (uint)First, W = (uint)Second };
        memory[at + 1] = new U4 { X = (uint)Block, Y = (uint)InBlockFirst, Z = (uint)InBlockSecond };
    }

    /// <summary>What <see cref="Store"/> has written.</summary>
    public static EpilogueTerms Load(ArrayView<U4> memory, int at)
    {
        U4 a = memory[at], b = memory[at + 1];
        EpilogueTerms terms;
        terms.Cos = Interop.IntAsFloat(a.X);
        terms.Sin = Interop.IntAsFloat(a.Y);
        terms.First = (int)a.Z;
        terms.Second = (int)a.W;
        terms.Block = (int)b.X;
        terms.InBlockFirst = (int)b.Y;
        terms.InBlockSecond = (int)b.Z;
        return terms;
    }
}
