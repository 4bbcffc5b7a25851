using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>How a warp multiplies labels by queries on tensor cores.</summary>
/// <remarks>
/// A lane loads one word of four tokens in 16 bytes; g = lane / 4 says which four of a unit of 32 tokens, t = lane % 4 which words. The tokens are rows g and g + 8 of two products of 16
/// tokens. A query takes two columns of the right side, 2h and 2h + 1, so that lane t gets the scores of query t of a tile of four. Columns without a query hold the first one again. Of a <see cref="Single"/> query see <see cref="SingleProduct{TBits}"/>, of <see cref="Beside"/> 2 <see cref="NarrowProduct{TBits}"/>.
/// </remarks>
internal interface ILabelProduct
{
    /// <summary>Registers of the left side that a word spreads into.</summary>
    static abstract int Registers { get; }

    /// <summary>Tokens whose labels lie beside each other in the four lanes of a quad: 1, or 2 for labels of at most two words.</summary>
    static abstract int Beside { get; }

    /// <summary>Whether all columns of the right side belong to one query.</summary>
    static abstract bool Single { get; }

    /// <summary>Right-hand fragments that each left-hand one is multiplied by: a second holds what two columns cannot.</summary>
    static abstract int Parts { get; }

    /// <summary>
    /// Writes the right-hand fragments of the queries, <c>[tile, product, part, lane]</c>, and for each query the factor and summand that make scores of its products, and their expected spread. The whole group calls;
    /// <paramref name="queries"/> is shared memory for all the tiles' queries, free again after the barrier that ends this.
    /// </summary>
    static abstract void Prepare<TWords>(LabelView labels, ScoreView score, QuerySet set, ArrayView<float> queries, ArrayView<U2> fragments, ArrayView<float> factors, ArrayView<float> summands, ArrayView<float> spreads)
        where TWords : struct, IKernelCount;

    /// <summary>Writes the label of a row's own key: <see cref="OwnLabel.Write"/> with the labels' bits.</summary>
    static abstract void WriteOwn(LabelView labels, QuerySet set, ArrayView<float> keys, int headDim);

    /// <summary>
    /// The scores of a lane's four tokens, whose words are <paramref name="words"/>[<paramref name="first"/> ..], with its query, before summand and per-token scales; of products of a <see cref="Single"/> query those of the lane's own
    /// <see cref="Beside"/> tokens alone (<see cref="LabelProduct.Place{TProduct}"/>).
    /// </summary>
    static abstract F4 Multiply<TWords>(U4[] words, int first, U2[] query, float factor)
        where TWords : struct, IKernelCount;
}
