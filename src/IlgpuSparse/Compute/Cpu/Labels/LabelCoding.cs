namespace IlgpuSparse.Compute.Cpu.Labels;

/// <summary>What a scorer must know of the codes.</summary>
/// <param name="Format">Bits and meaning.</param>
/// <param name="Channels">Channels a label, r.</param>
/// <param name="Words">32-bit words a label.</param>
/// <param name="Centre">What is subtracted from a code before it is weighted: (L−1)/2 with static scales, else 0.</param>
internal readonly record struct LabelCoding(LabelFormat Format, int Channels, int Words, float Centre)
{
    /// <summary>Bits a code.</summary>
    public int Bits => Format.Bits();

    /// <summary>Codes a word.</summary>
    public int PerWord => 32 / Bits;

    /// <summary>Channels when the last word is filled up.</summary>
    public int PaddedChannels => Words * PerWord;
}
