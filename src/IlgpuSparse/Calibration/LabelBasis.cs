using System.Runtime.InteropServices;

namespace IlgpuSparse.Calibration;

/// <summary>
/// Directions that the keys of one (layer, kv head) are seen along instead of channels, the most telling first. With z_i = <see cref="Keys"/>[i]·k and w_i = <see cref="Queries"/>[i]·q, the sum Σ w_i·z_i over all directions is q·k:
/// a label keeps the first of the z in a few bits each.
/// </summary>
/// <param name="Weight">Variance that leaving each direction out adds to the logits, up to a factor.</param>
/// <param name="Mean">Mean of each z: the offset of its quantiser.</param>
/// <param name="Deviation">Standard deviation of each z: the scale of its quantiser.</param>
/// <param name="Keys">fp16 <c>[direction, headDim]</c>.</param>
/// <param name="Queries">fp16 <c>[direction, headDim]</c>.</param>
public sealed record LabelBasis(IReadOnlyList<float> Weight, IReadOnlyList<float> Mean, IReadOnlyList<float> Deviation, byte[] Keys, byte[] Queries)
{
    /// <summary>How many there are.</summary>
    public int Count => Mean.Count;

    /// <summary>Direction <paramref name="index"/> of the keys.</summary>
    internal float[] Key(int index) => Unpack(Keys, index);

    /// <summary>Direction <paramref name="index"/> of the queries.</summary>
    internal float[] Query(int index) => Unpack(Queries, index);

    /// <summary>As the file keeps them.</summary>
    internal static byte[] Pack(IEnumerable<float[]> rows) => MemoryMarshal.AsBytes<Half>([.. rows.SelectMany(r => r).Select(x => (Half)x)]).ToArray();

    private float[] Unpack(byte[] rows, int index)
    {
        var halves = MemoryMarshal.Cast<byte, Half>(rows);
        int width = halves.Length / Count;
        var result = new float[width];
        for (int i = 0; i < width; i++) result[i] = (float)halves[index * width + i];
        return result;
    }
}
