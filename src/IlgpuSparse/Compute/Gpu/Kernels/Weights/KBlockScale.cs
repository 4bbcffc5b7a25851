namespace IlgpuSparse.Compute.Gpu.Kernels.Weights;

/// <summary>The 16 bytes that Q4_K and Q5_K super-blocks start with: fp16 scale and minimum, then six bits each of scale and minimum for eight blocks of 32.</summary>
internal static class KBlockScale
{
    /// <summary>Step of block <paramref name="block"/> (0 to 7).</summary>
    public static float Step(U4 header, int block)
    {
        int shift = (block & 3) * 8;
        uint first = (header.Y >> shift) & 255, last = (header.W >> shift) & 255;
        uint code = block < 4 ? first & 63 : (last & 15) | ((first >> 6) << 4);
        return Ptx.HalfLow(header.X) * (int)code;
    }

    /// <summary>What block <paramref name="block"/> subtracts.</summary>
    public static float Offset(U4 header, int block)
    {
        int shift = (block & 3) * 8;
        uint middle = (header.Z >> shift) & 255, last = (header.W >> shift) & 255;
        uint code = block < 4 ? middle & 63 : (last >> 4) | ((middle >> 6) << 4);
        return Ptx.HalfHigh(header.X) * (int)code;
    }

    /// <summary>Step and negative offset of block 2·<paramref name="pair"/>, then of the next.</summary>
    public static F4 Pair(U4 header, int pair)
    {
        F4 result;
        result.X = Step(header, 2 * pair);
        result.Y = -Offset(header, 2 * pair);
        result.Z = Step(header, 2 * pair + 1);
        result.W = -Offset(header, 2 * pair + 1);
        return result;
    }
}
