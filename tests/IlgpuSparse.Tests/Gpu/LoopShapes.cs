using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>Kernels of loops that end where the arms of a condition join.</summary>
internal static class LoopShapes
{
    /// <summary>Trips of the outer loops.</summary>
    public const int Words = 3;

    /// <summary>A loop under a condition of run time.</summary>
    public static void LoopInIf(ArrayView<float> values, ArrayView<float> results, int words, int kind)
    {
        float sum = 1f;
        for (int word = 0; word < words; word++)
        {
            if (kind == 1)
            {
                for (int i = 0; i < 8; i++) sum += values[word * 8 + i] * (i + 2);
            }
        }
        results[0] = sum;
    }

    /// <summary>A loop in the arm that remains of a condition known to the compiler.</summary>
    public static void LoopInConstantElse<TBits>(ArrayView<float> values, ArrayView<float> results, int words, int kind)
        where TBits : struct, ILabelBits
    {
        float sum = 1f;
        for (int word = 0; word < words; word++)
        {
            if (TBits.Bits == 16) sum += values[word] * kind;
            else
            {
                for (int i = 0; i < 8; i++) sum += values[word * 8 + i] * (i + 2);
            }
        }
        results[0] = sum;
    }

    /// <summary>Two loops that end in one join.</summary>
    public static void LoopInBothArms(ArrayView<float> values, ArrayView<float> results, int words, int kind)
    {
        float sum = 1f;
        for (int word = 0; word < words; word++)
        {
            if (kind == 1)
            {
                for (int i = 0; i < 8; i++) sum += values[word * 8 + i] * (i + 2);
            }
            else
            {
                for (int i = 0; i < 4; i++) sum += values[word * 4 + i] * (i + 5);
            }
        }
        results[0] = sum;
    }

    /// <summary>Three arms, the last with a loop.</summary>
    public static void LoopInElseOfElse(ArrayView<float> values, ArrayView<float> results, int words, int kind)
    {
        float sum = 1f;
        for (int word = 0; word < words; word++)
        {
            if (kind == 0) sum += values[word] * 3f;
            else if (kind == 1) sum += values[word] * 6f;
            else
            {
                for (int i = 0; i < 8; i++) sum += values[word * 8 + i] * (i + 2);
            }
        }
        results[0] = sum;
    }

    /// <summary>The same inside a loop that is unrolled itself.</summary>
    public static void NestedLoops(ArrayView<float> values, ArrayView<float> results, int words, int kind)
    {
        float sum = 1f;
        for (int word = 0; word < Words; word++)
        {
            if (kind == 1) sum += values[word] * 3f;
            else
            {
                for (int i = 0; i < 8; i++) sum += values[word * 8 + i] * (i + 2);
            }
        }
        results[0] = sum;
    }
}
