using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// As <see cref="IntegerProduct{TBits}"/>, for a single query and labels of at most two words, which would leave two of a quad's four lanes without any: lanes 0 and 1 hold those of one token and lanes 2 and 3 those of the token
/// 32 behind it. A row of a product has 32 bytes either way; here the first token's half of them meets the query in columns 0 to 3 and the other's half in columns 4 to 7, so that a token takes half of the loads and products.
/// </summary>
internal readonly struct NarrowProduct<TBits> : ILabelProduct
    where TBits : struct, ILabelBits
{
    public static int Registers => IntegerProduct<TBits>.Registers;

    public static int Parts => IntegerProduct<TBits>.Parts;

    public static int Beside => 2;

    public static void Prepare<TWords>(LabelView labels, ScoreView score, QuerySet set, ArrayView<float> queries, ArrayView<U2> fragments, ArrayView<float> factors, ArrayView<float> summands, ArrayView<float> spreads)
        where TWords : struct, IKernelCount
        => IntegerProduct<TBits>.Prepare<TWords>(labels, score, set, queries, fragments, factors, summands, spreads, true);

    public static void WriteOwn(LabelView labels, QuerySet set, ArrayView<float> keys, int headDim) => OwnLabel.Write<TBits>(labels, set, keys, headDim);

    public static F4 Multiply<TWords>(U4[] words, int first, U2[] query, float factor)
        where TWords : struct, IKernelCount
        => IntegerProduct<TBits>.Multiply<TWords>(words, first, query, factor);

    public static void MultiplyOwn<TWords>(U4[] words, int first, U2[] query, float factor, float[] best, int at)
        where TWords : struct, IKernelCount
    {
        var p = IntegerProduct<TBits>.Products<TWords>(words, first, query);
        bool odd = (Group.IdxX & 1) != 0;
        best[at] = IntegerProduct<TBits>.Score(Own(odd, p.Low.X, p.Low.Y, p.High.X, p.High.Y), Own(odd, p.LowRest.X, p.LowRest.Y, p.HighRest.X, p.HighRest.Y), factor);
        best[at + 1] = IntegerProduct<TBits>.Score(Own(odd, p.Low.Z, p.Low.W, p.High.Z, p.High.W), Own(odd, p.LowRest.Z, p.LowRest.W, p.HighRest.Z, p.HighRest.W), factor);
    }

    // Of a quad's four tokens a lane has the first two or the last.
    private static int Own(bool odd, int upper, int lower, int oddUpper, int oddLower)
    {
        int even = IntegerProduct<TBits>.Joined(upper, lower), other = IntegerProduct<TBits>.Joined(oddUpper, oddLower);
        return odd ? other : even;
    }
}
