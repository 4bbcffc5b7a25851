namespace IlgpuSparse.Calibration;

/// <summary>Selection without a sort.</summary>
internal static class OrderStatistic
{
    /// <summary>The <paramref name="rank"/>-th largest of <paramref name="values"/>, from 1.</summary>
    public static float Largest(ReadOnlySpan<float> values, int rank)
    {
        float[] room = System.Buffers.ArrayPool<float>.Shared.Rent(values.Length);
        var rest = room.AsSpan(0, values.Length);
        values.CopyTo(rest);
        int wanted = rank - 1;
        // quickselect, the pivot the middle of three
        while (rest.Length > 32)
        {
            float a = rest[0], b = rest[rest.Length / 2], c = rest[^1];
            float pivot = Math.Max(Math.Min(a, b), Math.Min(Math.Max(a, b), c));
            int i = 0, j = rest.Length - 1;
            while (i <= j)
            {
                while (rest[i] > pivot) i++;
                while (rest[j] < pivot) j--;
                if (i > j) break;
                (rest[i], rest[j]) = (rest[j], rest[i]);
                i++;
                j--;
            }
            if (wanted <= j) rest = rest[..(j + 1)];
            else if (wanted >= i)
            {
                rest = rest[i..];
                wanted -= i;
            }
            else
            {
                System.Buffers.ArrayPool<float>.Shared.Return(room);
                return pivot;
            }
        }
        rest.Sort();
        float result = rest[rest.Length - 1 - wanted];
        System.Buffers.ArrayPool<float>.Shared.Return(room);
        return result;
    }
}
