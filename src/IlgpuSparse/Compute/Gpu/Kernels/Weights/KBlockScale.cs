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

    /// <summary>Of blocks <paramref name="block"/> (0 to 3) and <paramref name="block"/> + 4: the step, and what to add to a number that is step · (code + <paramref name="bias"/>).</summary>
    public static F4 Pair(U4 header, int block, float bias)
    {
        float scale = Ptx.HalfLow(header.X), minimum = Ptx.HalfHigh(header.X);
        uint first = (header.Y >> (block * 8)) & 255, middle = (header.Z >> (block * 8)) & 255, last = (header.W >> (block * 8)) & 255;
        F4 result;
        result.X = scale * (int)(first & 63);
        result.Y = -(minimum * (int)(middle & 63) + bias * result.X);
        result.Z = scale * (int)((last & 15) | ((first >> 6) << 4));
        result.W = -(minimum * (int)((last >> 4) | ((middle >> 6) << 4)) + bias * result.Z);
        return result;
    }
}
