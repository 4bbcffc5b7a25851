using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// One row of activations on the way to shared memory, in parts that a warp makes ready by itself: pieces of 256 columns side by side, of which a lane has eight and takes two pieces at a time. Numbers are brought to where
/// that which is made of them, as large, will lie.
/// </summary>
/// <remarks>
/// By the copy engine (<see cref="BulkCopy"/>): what a multiprocessor loads or copies otherwise comes in the order in which it was asked for, and when activations are there the next kernel's group on it has asked for weights.
/// </remarks>
internal static class InputParts
{
    /// <summary>The warp's part of <paramref name="pieces"/> pieces, in units of <paramref name="unit"/>, with norm weights on their way, which no kernel writes: nothing has to come before.</summary>
    public static InputPart Of(LinearArgs args, int pieces, int unit)
    {
        int warp = Group.IdxX >> 5, warps = Group.DimX >> 5, units = pieces / unit;
        InputPart part = default;
        part.First = units * warp / warps * unit;
        part.End = units * (warp + 1) / warps * unit;
        return Gains(args, part, part.First);
    }

    /// <summary>Makes the part's <paramref name="barrier"/> ready, eight bytes that nobody else uses before <see cref="Bring"/>; also before.</summary>
    public static void Expect(LinearArgs args, ref ulong barrier)
    {
        if (args.BulkInput != 0 && (Group.IdxX & 31) == 0) BulkCopy.Make(ref barrier);
    }

    /// <summary>Brings the part's numbers, those that there are, to <paramref name="memory"/> from unit <paramref name="at"/> on, and waits for them.</summary>
    public static void Bring(ArrayView<U4> memory, LinearArgs args, InputPart part, int at, ref ulong barrier)
    {
        int lane = Group.IdxX & 31, count = IntrinsicMath.Min(part.End * 64, args.Columns >> 2) - part.First * 64;
        if (count > 0)
        {
            long first = args.FirstQuad + part.First * 64;
            var inputs = args.X.Cast<F4>();
            if (args.BulkInput != 0)
            {
                if (lane == 0)
                {
                    BulkCopy.Expect(ref barrier, count * 16);
                    BulkCopy.Start(ref memory[at], ref inputs[first], count * 16, ref barrier);
                }
                TensorOps.WarpSync();
                while (BulkCopy.IsDone(ref barrier) == 0) { }
                TensorOps.WarpSync();
                if (lane == 0) BulkCopy.End(ref barrier);
            }
            else
            {
                for (int i = lane; i < count; i += 32) memory.Cast<F4>()[at + i] = inputs[first + i];
                TensorOps.WarpSync();
            }
        }
    }

    /// <summary>The norm's weights for the lane's columns of <paramref name="piece"/> and the next, past the end the last ones.</summary>
    public static InputPart Gains(LinearArgs args, InputPart part, int piece)
    {
        int quad = piece * 64 + 2 * (Group.IdxX & 31), last = (args.Columns >> 2) - 1;
        part.GainA = LinearInput.GainBits(args, IntrinsicMath.Min(quad, last));
        part.GainB = LinearInput.GainBits(args, IntrinsicMath.Min(quad + 1, last));
        part.GainC = LinearInput.GainBits(args, IntrinsicMath.Min(quad + 64, last));
        part.GainD = LinearInput.GainBits(args, IntrinsicMath.Min(quad + 65, last));
        return part;
    }

    /// <summary>The sum of four squares.</summary>
    public static float Squares(F4 v) => v.X * v.X + v.Y * v.Y + (v.Z * v.Z + v.W * v.W);

    /// <summary>Four products.</summary>
    public static F4 Times(F4 v, F4 gain)
    {
        v.X *= gain.X;
        v.Y *= gain.Y;
        v.Z *= gain.Z;
        v.W *= gain.W;
        return v;
    }
}
