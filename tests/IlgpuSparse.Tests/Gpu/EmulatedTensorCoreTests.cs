using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Tests.Attention;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>
/// The tensor-core kernels without a GPU: ILGPU's CPU accelerator runs their IL with every matrix instruction emulated lane by lane, so operand layouts, masks, rings and merges are
/// checked against double precision. What the CUDA tests add is the compiler and the hardware.
/// </summary>
[Collection("accelerators")]
public sealed class EmulatedTensorCoreTests(Accelerators accelerators)
{
    private readonly int _seed = Random.Shared.Next();

    [Theory]
    [InlineData(3, 3, 64, KvFormat.F16, 0, new[] { 1, 16, 37 })]
    [InlineData(8, 2, 64, KvFormat.F16, 0, new[] { 300, 21 })]
    [InlineData(8, 1, 80, KvFormat.BF16, 0, new[] { 33 })]
    [InlineData(10, 1, 96, KvFormat.F16, 0, new[] { 50 })]
    [InlineData(2, 1, 128, KvFormat.BF16, 0, new[] { 130 })]
    [InlineData(1, 1, 256, KvFormat.F16, 0, new[] { 19 })]
    [InlineData(2, 1, 64, KvFormat.F16, 21, new[] { 290, 7 })]
    [InlineData(3, 3, 64, KvFormat.F32, 0, new[] { 1, 16, 37 })]
    [InlineData(8, 2, 64, KvFormat.F32, 0, new[] { 300, 21 })]
    [InlineData(8, 1, 80, KvFormat.F32, 0, new[] { 33 })]
    [InlineData(10, 1, 96, KvFormat.F32, 0, new[] { 50 })]
    [InlineData(2, 1, 128, KvFormat.F32, 0, new[] { 130 })]
    [InlineData(3, 1, 256, KvFormat.F32, 0, new[] { 19 })]
    [InlineData(2, 1, 64, KvFormat.F32, 21, new[] { 290, 7 })]
    [InlineData(3, 3, 64, KvFormat.Int8, 0, new[] { 1, 16, 37 })]
    [InlineData(8, 2, 64, KvFormat.Int8, 0, new[] { 300, 21 })]
    [InlineData(8, 1, 80, KvFormat.Int8, 0, new[] { 33 })]
    [InlineData(10, 1, 96, KvFormat.Int8, 0, new[] { 50 })]
    [InlineData(2, 1, 128, KvFormat.Int8, 0, new[] { 130 })]
    [InlineData(1, 1, 256, KvFormat.Int8, 0, new[] { 19 })]
    [InlineData(2, 1, 64, KvFormat.Int8, 21, new[] { 290, 7 })]
    public void DenseDecode(int heads, int kvHeads, int headDim, KvFormat format, int window, int[] lengths)
    {
        using var backend = GpuBackend.CreateEmulatingTensorCores(accelerators.Open(GpuKind.CpuAccelerator));
        using var test = new AttentionCase(backend, new Random(_seed), new(heads, kvHeads, headDim, window), format, lengths);
        var batch = test.DecodeStep();
        float[] q = test.Queries(batch.Rows);
        float[] y = test.Attend(batch, q);
        int width = heads * headDim;
        for (int row = 0; row < batch.Rows; row++)
            test.Compare(test.Expected(row, lengths[row] - 1, q.AsSpan(row * width, width)), y, row, $"dense (seed {_seed})");
    }

    [Theory]
    [InlineData(4, 2, 64, KvFormat.F16, false)]
    [InlineData(4, 2, 64, KvFormat.BF16, true)]
    [InlineData(2, 2, 80, KvFormat.F16, false)]
    [InlineData(4, 2, 64, KvFormat.Int8, false)]
    [InlineData(4, 2, 64, KvFormat.F32, false)]
    [InlineData(2, 2, 256, KvFormat.F32, true)]
    [InlineData(2, 2, 80, KvFormat.Int8, true)]
    public void SelectedTokens(int heads, int kvHeads, int headDim, KvFormat format, bool setPerQueryHead)
    {
        var random = new Random(_seed);
        using var backend = GpuBackend.CreateEmulatingTensorCores(accelerators.Open(GpuKind.CpuAccelerator));
        int[] lengths = [290, 40];
        using var test = new AttentionCase(backend, random, new(heads, kvHeads, headDim), format, lengths);
        var batch = test.DecodeStep();
        int sets = setPerQueryHead ? heads : kvHeads;
        var tokens = new int[batch.Rows][][];
        for (int row = 0; row < batch.Rows; row++)
        {
            tokens[row] = new int[sets][];
            for (int set = 0; set < sets; set++)
            {
                int[] all = [.. Enumerable.Range(0, lengths[row])];
                random.Shuffle(all);
                tokens[row][set] = [.. all.Take(set == 1 ? 0 : random.Next(1, Math.Min(150, lengths[row]))).Order()];
            }
        }
        float[] q = test.Queries(batch.Rows);
        float[] y = test.AttendSelected(batch, q, tokens);
        int width = heads * headDim;
        for (int row = 0; row < batch.Rows; row++)
            test.Compare(test.Expected(row, lengths[row] - 1, q.AsSpan(row * width, width), tokens[row]), y, row, $"selected (seed {_seed})");
    }
}
