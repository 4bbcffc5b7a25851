using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Rotary position embedding.</summary>
internal static unsafe class CpuRope
{
    private const int TaskNumbers = 16 * 1024;

    public static void Run(WorkerPool pool, RopeTable table, StepBatch batch, int heads, DeviceSpan x)
    {
        int width = heads * table.HeadDim, taskRows = Math.Max(1, TaskNumbers / width);
        var job = new Job
        {
            Pool = pool,
            X = CpuBuffer.Pointer<float>(x),
            Frequencies = CpuBuffer.Pointer<float>(table.InverseFrequencies),
            Positions = CpuBuffer.Pointer<int>(batch.Positions),
            Style = table.Style,
            Heads = heads,
            Pairs = table.HeadDim / 2,
            Rows = batch.Rows,
            TaskRows = taskRows,
        };
        pool.Run(ref job, (batch.Rows + taskRows - 1) / taskRows);
    }

    private struct Job : IParallelJob
    {
        public WorkerPool Pool;
        public float* X, Frequencies;
        public int* Positions;
        public RopeStyle Style;
        public int Heads, Pairs, Rows, TaskRows;

        public readonly void Execute(int task, int worker)
        {
            float* cos = Pool.Scratch.Worker(worker).Floats(2L * Pairs), sin = cos + Pairs;
            int end = Math.Min(Rows, (task + 1) * TaskRows), headDim = 2 * Pairs;
            for (int row = task * TaskRows; row < end; row++)
            {
                for (int i = 0; i < Pairs; i++)
                {
                    // The angle in double: at a position of a million a float would be wrong in the second digit of its sine.
                    var (s, c) = Math.SinCos((double)Positions[row] * Frequencies[i]);
                    cos[i] = (float)c;
                    sin[i] = (float)s;
                }
                float* head = X + (long)row * Heads * headDim;
                for (int h = 0; h < Heads; h++, head += headDim)
                {
                    if (Style == RopeStyle.HalfSplit) RotateHalves(head, cos, sin);
                    else RotatePairs(head, cos, sin);
                }
            }
        }

        private readonly void RotateHalves(float* head, float* cos, float* sin)
        {
            for (int i = 0; i < Pairs; i++)
            {
                float a = head[i], b = head[i + Pairs];
                head[i] = a * cos[i] - b * sin[i];
                head[i + Pairs] = b * cos[i] + a * sin[i];
            }
        }

        private readonly void RotatePairs(float* head, float* cos, float* sin)
        {
            for (int i = 0; i < Pairs; i++)
            {
                float a = head[2 * i], b = head[2 * i + 1];
                head[2 * i] = a * cos[i] - b * sin[i];
                head[2 * i + 1] = b * cos[i] + a * sin[i];
            }
        }
    }
}
