using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>One row of activations in shared memory in single precision, in the order of <see cref="BF16Row"/>'s pieces.</summary>
internal static class RowInput
{
    /// <summary>Loads of a thread under way.</summary>
    private const int Batch = 4;

    /// <summary>Fills shared memory and ends with a barrier. The norm's weights are applied; its factor is returned, for the products.</summary>
    public static float Prepare(ArrayView<U4> memory, LinearArgs args)
    {
        var inputs = args.X.Cast<F4>();
        var sums = memory.Cast<float>();
        int quads = args.Columns >> 2, places = BF16Row.Quads * 32 * args.RowStages;
        float squares = 0f;
        for (int first = Group.IdxX; first < places; first += Batch * Group.DimX)
        {
            var values = new F4[Batch];
            var gains = new U4[Batch];
            for (int i = 0; i < Batch; i++)
            {
                int quad = IntrinsicMath.Min(first + i * Group.DimX, quads - 1);
                values[i] = inputs[args.FirstQuad + quad];
                gains[i] = LinearInput.GainBits(args, quad);
            }
            for (int i = 0; i < Batch; i++)
            {
                int quad = first + i * Group.DimX;
                F4 v = values[i], gain = LinearInput.Gain(args, gains[i]);
                if (quad >= quads) v = default;
                squares += v.X * v.X + v.Y * v.Y + (v.Z * v.Z + v.W * v.W);
                v.X *= gain.X;
                v.Y *= gain.Y;
                v.Z *= gain.Z;
                v.W *= gain.W;
                if (quad < places) BF16Row.Place(memory, quad, v);
            }
        }
        if (args.NormFormat != 0)
        {
            squares = LinearInput.WarpSum(squares);
            if ((Group.IdxX & 31) == 0) sums[places * 4 + (Group.IdxX >> 5)] = squares;
        }
        Group.Barrier();
        float scale = 1f;
        if (args.NormFormat != 0)
        {
            float total = 0f;
            for (int w = 0; w < Group.DimX >> 5; w++) total += sums[places * 4 + w];
            scale = Ptx.Rsqrt(total / args.Columns + args.Epsilon);
        }
        return scale;
    }
}
