namespace IlgpuSparse.Tests.Model;

/// <summary>Damages files at random: bits flipped, numbers replaced by extreme ones, pieces cut out, doubled or cut off.</summary>
internal static class Mutation
{
    private static readonly ulong[] Extremes = [0, 1, 2, 9, 0xFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, ulong.MaxValue, ulong.MaxValue - 31];

    /// <summary>A damaged copy; damage falls into the first <paramref name="header"/> bytes.</summary>
    public static byte[] Of(byte[] original, int header, Random random)
    {
        var bytes = original.ToList();
        for (int edits = random.Next(1, 4); edits > 0; edits--)
        {
            int limit = Math.Min(header, bytes.Count);
            if (limit == 0) break;
            int at = random.Next(limit);
            switch (random.Next(6))
            {
                case 0: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                case 1: bytes[at] = (byte)random.Next(256); break;
                case 2:
                    byte[] extreme = BitConverter.GetBytes(Extremes[random.Next(Extremes.Length)]);
                    int width = random.Next(2) == 0 ? 4 : 8;
                    for (int i = 0; i < width && at + i < bytes.Count; i++) bytes[at + i] = extreme[i];
                    break;
                case 3: bytes.RemoveRange(at, Math.Min(random.Next(1, 16), bytes.Count - at)); break;
                case 4: bytes.InsertRange(at, bytes.GetRange(at, Math.Min(random.Next(1, 64), bytes.Count - at))); break;
                default: bytes.RemoveRange(at, bytes.Count - at); break;
            }
        }
        return [.. bytes];
    }
}
