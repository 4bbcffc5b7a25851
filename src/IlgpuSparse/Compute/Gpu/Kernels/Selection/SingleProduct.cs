using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// As <see cref="IntegerProduct{TBits}"/>, for a single query, which would fill two columns of two products, and six would say the same: all four of its bytes are columns of one product, and columns 4 to 7 are columns 0 to 3 once more. Lanes 0 and 2
/// of a quad then have the upper bytes' sums of its four tokens, lanes 1 and 3 the lower ones'; neighbours exchange what makes each of them one token's.
/// </summary>
internal readonly struct SingleProduct<TBits> : ILabelProduct
    where TBits : struct, ILabelBits
{
    public static int Registers => IntegerProduct<TBits>.Registers;

    public static int Parts => 1;

    public static int Beside => 1;

    public static bool Single => true;

    public static void Prepare<TWords>(LabelView labels, ScoreView score, QuerySet set, ArrayView<float> queries, ArrayView<U2> fragments, ArrayView<float> factors, ArrayView<float> summands, ArrayView<float> spreads)
        where TWords : struct, IKernelCount
        => IntegerProduct<TBits>.Prepare<TWords>(labels, score, set, queries, fragments, factors, summands, spreads, true, false);

    public static void WriteOwn(LabelView labels, QuerySet set, ArrayView<float> keys, int headDim) => OwnLabel.Write<TBits>(labels, set, keys, headDim);

    public static F4 Multiply<TWords>(U4[] words, int first, U2[] query, float factor)
        where TWords : struct, IKernelCount
    {
        // joined before one is chosen: multiplications go to other units than choices
        var p = IntegerProduct<TBits>.Products<TWords>(words, first, query, true);
        int x = IntegerProduct<TBits>.Joined(p.Low.X, p.Low.Y), y = IntegerProduct<TBits>.Joined(p.Low.Z, p.Low.W), z = IntegerProduct<TBits>.Joined(p.High.X, p.High.Y), w = IntegerProduct<TBits>.Joined(p.High.Z, p.High.W);
        bool upper = (Group.IdxX & 2) != 0;
        F4 result = default;
        result.X = Score(upper ? z : x, upper ? w : y, factor);
        return result;
    }

    /// <summary>The score of the first of two tokens in even lanes, of the second in odd ones, from the sums that the lane has of both, with the upper bytes in even lanes and with the lower ones in odd ones.</summary>
    public static float Score(int first, int second, float factor)
    {
        bool odd = (Group.IdxX & 1) != 0;
        int own = odd ? second : first, other = Warp.ShuffleXor(odd ? first : second, 1);
        float upper = 65536f * factor;
        // rounded one by one, so that a score does not depend on which lane makes it
        return Ptx.Product(own, odd ? factor : upper) + Ptx.Product(other, odd ? upper : factor);
    }
}
