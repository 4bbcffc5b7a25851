using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Queries and scores of a step, as one kernel argument.</summary>
internal struct ScoreView
{
    /// <summary><c>[row, head, headDim]</c>.</summary>
    public ArrayView<float> Queries;

    /// <summary><c>[row, set, Capacity]</c>.</summary>
    public ArrayView<float> Scores;

    /// <summary>Query heads.</summary>
    public int Heads;

    /// <summary>Query heads of a kv head.</summary>
    public int GroupSize;

    /// <summary>Query heads of a set: 1 or <see cref="GroupSize"/>.</summary>
    public int HeadsPerSet;

    /// <summary>Channels a head.</summary>
    public int HeadDim;

    /// <summary>Tokens a query may look back; 0 for all.</summary>
    public int Window;

    /// <summary>Room of a set in <see cref="Scores"/>.</summary>
    public int Capacity;

    /// <summary>1 to score with the sum of the set's queries, 0 to take the largest of their scores.</summary>
    public int Sum;

    /// <summary>1/√d.</summary>
    public float Scale;

    /// <summary>Tokens a group of threads scores.</summary>
    public int ChunkTokens;

    /// <summary>First token that the query at <paramref name="position"/> sees.</summary>
    public readonly int FirstVisible(int position) => Window > 0 && position >= Window ? position - Window + 1 : 0;

    /// <summary>Channel <paramref name="channel"/> of the set's query number <paramref name="head"/>, or of the sum of its queries.</summary>
    public readonly float Query(int row, int firstHead, int head, int channel)
    {
        long index = ((long)row * Heads + firstHead + head) * HeadDim + channel;
        float value = Queries[index];
        if (Sum != 0)
        {
            for (int h = 1; h < HeadsPerSet; h++) value += Queries[index + (long)h * HeadDim];
        }
        return value;
    }
}
