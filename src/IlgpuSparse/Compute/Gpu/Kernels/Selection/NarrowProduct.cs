using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// As <see cref="SingleProduct{TBits}"/>, for labels of at most two words, which would leave two of a quad's four lanes without any: lanes 0 and 1 hold those of one token and lanes 2 and 3 those of the token
/// 32 behind it. A row of a product has 32 bytes either way; here the first token's half of them meets the query in columns 0 to 3 and the other's half in columns 4 to 7, so that a token takes half of the loads and products.
/// </summary>
internal readonly struct NarrowProduct<TBits> : ILabelProduct
    where TBits : struct, ILabelBits
{
    public static int Registers => IntegerProduct<TBits>.Registers;

    public static int Parts => 1;

    public static int Beside => 2;

    public static bool Single => true;

    public static void Prepare<TWords>(LabelView labels, ScoreView score, QuerySet set, ArrayView<float> queries, ArrayView<U2> fragments, ArrayView<float> factors, ArrayView<float> summands, ArrayView<float> spreads)
        where TWords : struct, IKernelCount
        => IntegerProduct<TBits>.Prepare<TWords>(labels, score, set, queries, fragments, factors, summands, spreads, true, true);

    public static void WriteOwn(LabelView labels, QuerySet set, ArrayView<float> keys, int headDim) => OwnLabel.Write<TBits>(labels, set, keys, headDim);

    public static F4 Multiply<TWords>(U4[] words, int first, U2[] query, float factor)
        where TWords : struct, IKernelCount
    {
        var p = IntegerProduct<TBits>.Products<TWords>(words, first, query, true);
        F4 result = default;
        // even lanes have the first two of four tokens, odd ones the others
        result.X = SingleProduct<TBits>.Score(IntegerProduct<TBits>.Joined(p.Low.X, p.Low.Y), IntegerProduct<TBits>.Joined(p.High.X, p.High.Y), factor);
        result.Y = SingleProduct<TBits>.Score(IntegerProduct<TBits>.Joined(p.Low.Z, p.Low.W), IntegerProduct<TBits>.Joined(p.High.Z, p.High.W), factor);
        return result;
    }
}
