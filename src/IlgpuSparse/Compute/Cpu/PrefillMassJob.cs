using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// How much attention a chunk of consecutive tokens pays to each token, a query head a task: the weights of all its queries, each softmax(q·Kᵀ/√d) over what it sees, summed by token. The products are those of the matrix
/// product's register tile; logits of a few queries over all tokens are held at a time.
/// </summary>
internal unsafe struct PrefillMassJob<V> : IParallelJob
    where V : struct, ISimd<V>
{
    // Queries whose logits are held: a multiple of every tile's rows.
    private const int StripRows = 48;

    public required AttentionShape Shape;
    /// <summary>Keys <c>[block, kvHead, token in block, headDim]</c>, fp32.</summary>
    public required float* Keys;
    /// <summary>Blocks of the sequence.</summary>
    public required int* Blocks;
    /// <summary>Position of the first row.</summary>
    public required int Start;
    /// <summary>Tokens of the chunk.</summary>
    public required int Rows;
    /// <summary>Queries <c>[row, head, headDim]</c>.</summary>
    public required float* Q;
    /// <summary>Where the sums go, <c>[head, tokens]</c> by position; what was there is overwritten from the first visible token on.</summary>
    public required float* Mass;
    /// <summary>Distance of the sums of two heads.</summary>
    public required int MassStride;
    public required CpuScratch Scratch;

    private static int PanelTokens => GemmTile.PanelVectors * V.Count;

    /// <summary>Sums for query head <paramref name="task"/>.</summary>
    public readonly void Execute(int task, int worker)
    {
        int d = Shape.HeadDim, first = Shape.FirstVisible(Start) / PanelTokens * PanelTokens, end = Start + Rows, tokens = (end - first + PanelTokens - 1) / PanelTokens * PanelTokens;
        int stride = tokens + 16, tileRows = GemmTile.Rows<V>();
        float* panels = Scratch.Worker(worker).Floats((long)tokens * d + (long)StripRows * stride + (long)StripRows * d + PanelPacking.UnpackedFloats(PanelTokens));
        float* logits = panels + (long)tokens * d, queries = logits + (long)StripRows * stride, unpacked = queries + (long)StripRows * d;
        float* mass = Mass + (long)task * MassStride;
        new Span<float>(mass + first, end - first).Clear();
        PackKeys(task / Shape.GroupSize, first, end, unpacked, panels);
        for (int row = 0; row < Rows; row += StripRows)
        {
            int rows = Math.Min(StripRows, Rows - row), last = Start + row + rows - 1;
            new Span<float>(queries, StripRows * d).Clear();
            for (int i = 0; i < rows; i++) Scale(Q + ((long)(row + i) * Shape.Heads + task) * d, d, Shape.Scale * 1.44269504f, queries + (long)i * d);
            for (int i = 0; i < rows; i++) new Span<float>(logits + (long)i * stride, tokens).Clear();
            for (int i = rows; i < (rows + tileRows - 1) / tileRows * tileRows; i++) new Span<float>(logits + (long)i * stride, tokens).Clear();
            for (int panel = 0; panel < tokens && first + panel <= last; panel += PanelTokens)
                for (int i = 0; i < rows; i += tileRows)
                    GemmTile.Run<V>(queries + (long)i * d, d, panels + (long)panel * d, d, logits + (long)i * stride + panel, stride);
            for (int i = 0; i < rows; i++)
            {
                int position = Start + row + i, from = Shape.FirstVisible(position);
                AddWeights(logits + (long)i * stride + (from - first), position + 1 - from, mass + from);
            }
        }
    }

    // To panels [channel, token] of as many tokens as a register tile has columns; tokens that are not there become zero.
    private readonly void PackKeys(int kvHead, int first, int end, float* unpacked, float* panels)
    {
        int d = Shape.HeadDim;
        for (int token = first; token < end; token += PanelTokens, panels += (long)PanelTokens * d)
        {
            for (int i = 0; i < PanelTokens; i++)
            {
                var row = new Span<float>(unpacked + (long)i * PanelPacking.UnpackedStride, d);
                int at = token + i;
                if (at < end) new ReadOnlySpan<float>(Keys + ((((long)Blocks[at >> KvLayer.BlockShift] * Shape.KvHeads + kvHead) << KvLayer.BlockShift) + (at & (KvLayer.BlockTokens - 1))) * d, d).CopyTo(row);
                else row.Clear();
            }
            PanelPacking.Transpose(unpacked, PanelPacking.UnpackedStride, d, panels, PanelTokens);
        }
    }

    private static void Scale(float* source, int count, float factor, float* target)
    {
        for (int i = 0; i < count; i++) target[i] = source[i] * factor;
    }

    // Adds the softmax of the logits, in units of log 2, which are overwritten.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void AddWeights(float* logits, int count, float* mass)
    {
        int whole = count - count % V.Count;
        float most = float.NegativeInfinity, total = 0;
        V largest = V.Create(float.NegativeInfinity);
        for (int i = 0; i < whole; i += V.Count) largest = V.Max(largest, V.Load(logits + i));
        most = V.MaxLane(largest);
        for (int i = whole; i < count; i++) most = Math.Max(most, logits[i]);
        V maximum = V.Create(most), sum = V.Zero;
        for (int i = 0; i < whole; i += V.Count)
        {
            V weight = Exp2<V>.Of(V.Subtract(V.Load(logits + i), maximum));
            V.Store(weight, logits + i);
            sum = V.Add(sum, weight);
        }
        total = V.Sum(sum);
        for (int i = whole; i < count; i++) total += logits[i] = MathF.Pow(2f, logits[i] - most);
        V factor = V.Create(1 / total);
        for (int i = 0; i < whole; i += V.Count) V.Store(V.MultiplyAdd(V.Load(logits + i), factor, V.Load(mass + i)), mass + i);
        for (int i = whole; i < count; i++) mass[i] += logits[i] / total;
    }
}
