using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// One row of activations on the way to shared memory, in parts that a warp makes ready by itself: pieces of 256 columns side by side, of which a lane has eight and takes two pieces at a time. Numbers are brought to where
/// that which is made of them, as large, will lie.
/// </summary>
/// <remarks>
/// By the copy engine (<see cref="BulkCopy"/>): what a multiprocessor loads or copies otherwise comes in the order in which it was asked for, and when earlier kernels have ended the group has asked for weights.
/// </remarks>
internal static class InputParts
{
    /// <summary>Units of 16 bytes for a sum of squares, or a barrier, of each warp: also of one that has no part.</summary>
    public const int SquareUnits = RowRing.MaxWarps + 2 >> 1;

    /// <summary>The warp's part of <paramref name="pieces"/> pieces, an even number, that the first <paramref name="warps"/> share, with norm weights on their way, which no kernel writes: nothing has to come before.</summary>
    public static InputPart Of(LinearArgs args, int pieces, int warps)
    {
        int warp = IntrinsicMath.Min(Group.IdxX >> 5, warps);
        InputPart part = default;
        part.First = (pieces >> 1) * warp / warps * 2;
        part.End = (pieces >> 1) * IntrinsicMath.Min(warp + 1, warps) / warps * 2;
        return Gains(args, part, part.First);
    }

    /// <summary>Makes the warp's barrier ready, which lies where its sum of squares will: also before.</summary>
    public static void Expect(ArrayView<U4> memory, LinearArgs args, InputPart part, int squares)
    {
        if (args.BulkInput != 0 && Count(args, part) > 0 && (Group.IdxX & 31) == 0) BulkCopy.Make(ref Barrier(memory, squares));
    }

    /// <summary>Has the part's numbers, those that there are, brought to <paramref name="memory"/> from unit <paramref name="at"/> on; to be followed by <see cref="Prepare"/>.</summary>
    public static void Bring(ArrayView<U4> memory, LinearArgs args, InputPart part, int at, int squares)
    {
        int lane = Group.IdxX & 31, count = Count(args, part);
        if (count > 0)
        {
            long first = args.FirstQuad + part.First * 64;
            var inputs = args.X.Cast<F4>();
            if (args.BulkInput == 0)
            {
                for (int i = lane; i < count; i += 32) memory.Cast<F4>()[at + i] = inputs[first + i];
            }
            else if (lane == 0)
            {
                ref ulong barrier = ref Barrier(memory, squares);
                BulkCopy.Expect(ref barrier, count * 16);
                BulkCopy.Start(ref memory[at], ref inputs[first], count * 16, ref barrier);
            }
        }
    }

    /// <summary>Makes of what <see cref="Bring"/> has asked for its <typeparamref name="TForm"/>, with the norm's weights applied, at the places that <see cref="IInputForm.Split"/> names; a barrier has to follow. <paramref name="squares"/> is where the norm's sums of squares lie.</summary>
    public static void Prepare<TForm>(ArrayView<U4> memory, LinearArgs args, InputPart part, int x, int scales, int sums, int squares)
        where TForm : struct, IInputForm
    {
        Arrive(memory, args, part, squares);
        var numbers = memory.Cast<F4>();
        int lane = Group.IdxX & 31, quads = args.Columns >> 2;
        float sum = 0f;
        for (int piece = part.First; piece < part.End; piece += 2)
        {
            int quad = piece * 64 + 2 * lane, at = x + quad;
            F4 a = default, b = default, c = default, d = default;
            if (quad < quads) a = numbers[at];
            if (quad + 1 < quads) b = numbers[at + 1];
            if (quad + 64 < quads) c = numbers[at + 64];
            if (quad + 65 < quads) d = numbers[at + 65];
            // what they become takes their place
            TensorOps.WarpSync();
            if (args.NormFormat != 0)
            {
                // not over the ones before: as a rule there are none, and then nothing is copied about
                var gains = part;
                if (piece > part.First) gains = Gains(args, part, piece);
                sum += Squares(a) + Squares(b) + (Squares(c) + Squares(d));
                a = Times(a, LinearInput.Gain(args, gains.GainA));
                b = Times(b, LinearInput.Gain(args, gains.GainB));
                c = Times(c, LinearInput.Gain(args, gains.GainC));
                d = Times(d, LinearInput.Gain(args, gains.GainD));
            }
            TForm.Split(memory, x, scales, sums, piece, lane, a, b, c, d);
        }
        if (args.NormFormat != 0)
        {
            sum = LinearInput.WarpSum(sum);
            if (lane == 0) memory.Cast<float>()[(squares * 2 + (Group.IdxX >> 5)) * 2] = sum;
        }
    }

    /// <summary>The norm's factor, for the products; after the barrier behind <see cref="Prepare"/>.</summary>
    public static float Factor(ArrayView<U4> memory, LinearArgs args, int squares)
    {
        float factor = 1f;
        if (args.NormFormat != 0)
        {
            float sum = 0f;
            for (int w = 0; w < RowRing.MaxWarps; w++)
            {
                if (w < Group.DimX >> 5) sum += memory.Cast<float>()[(squares * 2 + w) * 2];
            }
            factor = Ptx.Rsqrt(sum / args.Columns + args.Epsilon);
        }
        return factor;
    }

    private static void Arrive(ArrayView<U4> memory, LinearArgs args, InputPart part, int squares)
    {
        TensorOps.WarpSync();
        if (args.BulkInput != 0 && Count(args, part) > 0)
        {
            ref ulong barrier = ref Barrier(memory, squares);
            while (BulkCopy.IsDone(ref barrier) == 0) { }
            TensorOps.WarpSync();
            if ((Group.IdxX & 31) == 0) BulkCopy.End(ref barrier);
        }
    }

    private static int Count(LinearArgs args, InputPart part) => IntrinsicMath.Min(part.End * 64, args.Columns >> 2) - part.First * 64;

    private static ref ulong Barrier(ArrayView<U4> memory, int squares) => ref memory.Cast<ulong>()[squares * 2 + (Group.IdxX >> 5)];

    // The norm's weights for the lane's columns of a piece and the next, past the end the last ones.
    private static InputPart Gains(LinearArgs args, InputPart part, int piece)
    {
        int quad = piece * 64 + 2 * (Group.IdxX & 31), last = (args.Columns >> 2) - 1;
        part.GainA = LinearInput.GainBits(args, IntrinsicMath.Min(quad, last));
        part.GainB = LinearInput.GainBits(args, IntrinsicMath.Min(quad + 1, last));
        part.GainC = LinearInput.GainBits(args, IntrinsicMath.Min(quad + 64, last));
        part.GainD = LinearInput.GainBits(args, IntrinsicMath.Min(quad + 65, last));
        return part;
    }

    private static float Squares(F4 v) => v.X * v.X + v.Y * v.Y + (v.Z * v.Z + v.W * v.W);

    private static F4 Times(F4 v, F4 gain)
    {
        v.X *= gain.X;
        v.Y *= gain.Y;
        v.Z *= gain.Z;
        v.W *= gain.W;
        return v;
    }

    /// <summary>The bits of the largest size of the warp's numbers; what is no number is larger than all.</summary>
    public static uint Largest(F4 first, F4 second) => LinearOps.WarpMax(Interop.FloatAsInt(LinearOps.Larger(Largest(first), Largest(second))));

    private static float Largest(F4 v) => LinearOps.Larger(LinearOps.Larger(LinearOps.Larger(0f, v.X), v.Y), LinearOps.Larger(LinearOps.Larger(0f, v.Z), v.W));
}
