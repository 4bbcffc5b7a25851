namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// The routed feed-forward. Rows are grouped by expert, so that an expert's weights are read once for all rows of a chunk that are routed to it, and not at all when there are
/// none: a decode step reads the active experts alone.
/// </summary>
internal static unsafe class CpuExperts
{
    // Rows of one expert at a time: bounds the scratch, and at this height the product no longer waits for the weights.
    private const int MaxRows = 256;

    public static void Run(WorkerPool pool, ExpertWeights experts, DeviceSpan x, int rows, DeviceSpan router, DeviceSpan y)
    {
        int count = experts.Gate.Count, active = experts.Active, hidden = experts.Gate[0].Columns, intermediate = experts.Gate[0].Rows;
        if (active < 1 || active > count) throw new ArgumentException($"{active} active of {count} experts", nameof(experts));
        float* logits = CpuBuffer.Pointer<float>(router), input = CpuBuffer.Pointer<float>(x), output = CpuBuffer.Pointer<float>(y);

        long places = (long)rows * active;
        int batch = Math.Min(rows, MaxRows);
        float* scratch = pool.Scratch.Experts.Floats(places * 3 + (long)batch * (2L * hidden + 2L * intermediate));
        var chosen = (int*)scratch;
        float* weights = scratch + places;
        var members = (int*)(weights + places);
        float* gathered = weights + 2 * places, product = gathered + (long)batch * hidden, gate = product + (long)batch * hidden, up = gate + (long)batch * intermediate;

        for (int row = 0; row < rows; row++) ExpertRouting.Route(logits + (long)row * count, count, active, chosen + row * active, weights + row * active);
        for (int e = 0; e < count; e++)
        {
            // members: places (row · active + rank) of this expert
            int total = 0;
            for (int place = 0; place < places; place++)
                if (chosen[place] == e) members[total++] = place;
            for (int start = 0; start < total; start += batch)
            {
                int part = Math.Min(batch, total - start);
                Gather(input, hidden, active, members + start, part, gathered);
                Multiply(pool, experts.Gate[e], gathered, part, gate);
                Multiply(pool, experts.Up[e], gathered, part, up);
                CpuSwiGlu.Run(pool, gate, up, (long)part * intermediate);
                Multiply(pool, experts.Down[e], gate, part, product);
                Scatter(product, hidden, active, members + start, part, weights, output);
            }
        }
    }

    private static void Gather(float* x, int width, int active, int* members, int count, float* gathered)
    {
        for (int i = 0; i < count; i++)
            new Span<float>(x + (long)(members[i] / active) * width, width).CopyTo(new Span<float>(gathered + (long)i * width, width));
    }

    private static void Scatter(float* product, int width, int active, int* members, int count, float* weights, float* y)
    {
        for (int i = 0; i < count; i++)
        {
            float* source = product + (long)i * width, target = y + (long)(members[i] / active) * width;
            float weight = weights[members[i]];
            for (int c = 0; c < width; c++) target[c] += weight * source[c];
        }
    }

    private static void Multiply(WorkerPool pool, WeightMatrix weight, float* x, int rows, float* y) =>
        CpuMatMul.Run(pool, new MatMulOperands(weight.Format, (nint)((CpuBuffer)weight.Data).Data, weight.Rows, weight.Columns, (nint)x, rows, (nint)y, 0, false));
}
