using System.Numerics;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>How the eights of weight rows of a launch, which an epilogue puts together, are found in up to three matrices by a <see cref="StageMap"/> each.</summary>
/// <param name="First">Map of the first eights.</param>
/// <param name="Second">Map of those from number <paramref name="SecondEight"/> on.</param>
/// <param name="Third">Map of those from number <paramref name="ThirdEight"/> on.</param>
/// <param name="SecondEight">First eight of the second map; past all without one.</param>
/// <param name="ThirdEight">First eight of the third map.</param>
/// <param name="Shift">Parts a block of the first two maps, as a power of two.</param>
/// <param name="ThirdShift">Parts a block of the third map.</param>
internal readonly record struct StageLayout(StageMap First, StageMap Second, StageMap Third, int SecondEight, int ThirdEight, int Shift, int ThirdShift)
{
    /// <summary>The layout of a launch; null where its rows do not lie so, or are in a format that has no <see cref="IDigitCodec"/>, and where which matrix is meant is known on the device alone (experts).</summary>
    public static StageLayout? Of<TEpilogue>(TEpilogue epilogue, ReadOnlySpan<WeightMatrix> weights)
        where TEpilogue : struct, ILinearEpilogue => DigitCodec.Of(weights[0].Format) is null ? null : epilogue switch
        {
            StoreEpilogue when InTiles(weights[0]) is { } map => Single(map, 1),
            SwiGluEpilogue when Gated(weights[0], weights[1]) is { } map => Single(map, 0),
            QkvEpilogue qkv => Of(qkv, weights),
            _ => null,
        };

    private static StageLayout Single(StageMap map, int shift) => new(map, map, map, int.MaxValue, int.MaxValue, shift, shift);

    private static StageLayout? Of(QkvEpilogue qkv, ReadOnlySpan<WeightMatrix> weights)
    {
        bool interleaved = qkv.Interleaved != 0;
        if (qkv.Pairs % 4 != 0 || (!interleaved && !BitOperations.IsPow2(qkv.Pairs / 4)) || InTiles(weights[2]) is not { } values) return null;
        var queries = Rotated(weights[0], qkv.Pairs, interleaved);
        return new StageLayout(queries, Rotated(weights[1], qkv.Pairs, interleaved), values, 2 * qkv.KeyTile, 2 * qkv.ValueTile, BitOperations.Log2((uint)queries.Parts), 1);
    }

    // Slots of a tile of 16 rows: 0 to 3 and 8 to 11, then 4 to 7 and 12 to 15.
    private static StageMap? InTiles(WeightMatrix weight)
    {
        long row = Row(weight);
        return weight.Rows % LinearKernel.TileRows == 0 ? new StageMap(Units(weight), GpuBuffer.Address(weight.Data), row, row, 8 * row, 2, 4 * row, weight.Rows / LinearKernel.TileRows, LinearKernel.TileRows * row) : null;
    }

    // Four rows of one matrix and the same of the other, which lies behind it.
    private static StageMap? Gated(WeightMatrix gate, WeightMatrix up)
    {
        long row = Row(gate), start = GpuBuffer.Address(gate.Data), between = GpuBuffer.Address(up.Data) - start;
        // of what a tensor map can have
        return gate.Rows % 4 == 0 && between is > 0 and < 1L << 40 && between % 16 == 0 ? new StageMap(Units(gate), start, row, row, between, 1, row, gate.Rows / 4, 4 * row) : null;
    }

    // Four pairs of channels: the first and the second of each.
    private static StageMap Rotated(WeightMatrix weight, int pairs, bool interleaved)
    {
        long row = Row(weight), start = GpuBuffer.Address(weight.Data);
        return interleaved
            ? new StageMap(Units(weight), start, row, 2 * row, row, 1, row, weight.Rows / 8, 8 * row)
            : new StageMap(Units(weight), start, row, row, pairs * row, pairs / 4, 4 * row, weight.Rows / (2 * pairs), 2 * pairs * row);
    }

    private static int Units(WeightMatrix weight) => DigitCodec.Of(weight.Format)!.Units;

    private static long Row(WeightMatrix weight) => weight.ByteLength / weight.Rows;
}
