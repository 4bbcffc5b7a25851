namespace IlgpuSparse.Compute.Cpu;

/// <summary>Writes the K and V rows of some of a step's tokens into the cache.</summary>
internal unsafe struct AppendJob : IParallelJob
{
    public required AttentionShape Shape;
    public required KvFormat Format;
    public required byte* KCache;
    public required byte* VCache;
    /// <summary>Where the rows' scales go, or null where the format has none.</summary>
    public required float* KScales;
    public required float* VScales;
    public required float* K;
    public required float* V;
    public required int* Positions;
    public required int* BlockTable;
    /// <summary>Entries of the block table from one row to the next; 0 when all share one.</summary>
    public required int BlockStride;
    public required int Rows;
    public required int RowsPerTask;

    public readonly void Execute(int task, int worker)
    {
        int headDim = Shape.HeadDim, end = Math.Min(Rows, (task + 1) * RowsPerTask);
        long rowBytes = (long)headDim * Format.ElementBytes();
        for (int row = task * RowsPerTask; row < end; row++)
        {
            int position = Positions[row];
            long block = BlockTable[(long)row * BlockStride + (position >> KvLayer.BlockShift)];
            for (int head = 0; head < Shape.KvHeads; head++)
            {
                long cached = ((block * Shape.KvHeads + head) << KvLayer.BlockShift) + (position & (KvLayer.BlockTokens - 1)), target = cached * rowBytes;
                long source = ((long)row * Shape.KvHeads + head) * headDim;
                if (KScales != null)
                {
                    KScales[cached] = Int8Rows.Write(K + source, (sbyte*)KCache + target, headDim);
                    VScales[cached] = Int8Rows.Write(V + source, (sbyte*)VCache + target, headDim);
                    continue;
                }
                KvRowWriter.Write(Format, K + source, KCache + target, headDim);
                KvRowWriter.Write(Format, V + source, VCache + target, headDim);
            }
        }
    }
}
