using IlgpuSparse.Compute.Cpu;

namespace IlgpuSparse.Tests.Compute;

public class WorkerPoolTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(8)]
    public void EveryTaskRunsOnce(int workers)
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        using var pool = new WorkerPool(workers);
        int[] runs = new int[500];
        for (int region = 0; region < 5000; region++)
        {
            int tasks = random.Next(0, region % 100 == 0 ? runs.Length : 12);
            Array.Clear(runs);
            var job = new CountJob { Runs = runs, Workers = workers };
            pool.Run(ref job, tasks);
            Assert.True(runs.Take(tasks).All(n => n == 1) && runs.Skip(tasks).All(n => n == 0), $"region {region} of {tasks} tasks (seed {seed})");
            Assert.Equal(0, job.WrongWorkers);
            if (region % 1000 == 0) Thread.Sleep(5); // let the workers fall asleep
        }
    }

    [Fact]
    public void PausesOfEveryLengthLoseNoWakeUp()
    {
        // Around the moment when a worker goes to sleep: a lost permit would hang a region whose tasks wait for each other.
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        using var pool = new WorkerPool(3);
        for (int region = 0; region < 2000; region++)
        {
            Thread.SpinWait(random.Next(0, 20_000));
            int arrived = 0;
            unsafe
            {
                var job = new MeetJob { Arrived = &arrived, Tasks = 3 };
                pool.Run(ref job, 3);
            }
            Assert.Equal(3, arrived);
        }
    }

    [Fact]
    public void CallersTakeTurns()
    {
        using var pool = new WorkerPool(4);
        long[] sums = new long[6];
        Parallel.For(0, sums.Length, new ParallelOptions { MaxDegreeOfParallelism = sums.Length }, caller =>
        {
            int[] runs = new int[9];
            for (int region = 0; region < 1000; region++)
            {
                var job = new CountJob { Runs = runs, Workers = 4 };
                pool.Run(ref job, runs.Length);
            }
            sums[caller] = runs.Sum();
        });
        Assert.All(sums, sum => Assert.Equal(9000, sum));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void AFailureArrivesAsItIsAndThePoolGoesOn(int workers)
    {
        using var pool = new WorkerPool(workers);
        for (int i = 0; i < 200; i++)
        {
            var bad = new ThrowJob { At = i % 20 };
            var error = Assert.Throws<FormatException>(() => pool.Run(ref bad, 20));
            Assert.Equal($"task {i % 20}", error.Message);
            int[] runs = new int[20];
            var good = new CountJob { Runs = runs, Workers = workers };
            pool.Run(ref good, 20);
            Assert.All(runs, n => Assert.Equal(1, n));
        }
    }

    [Fact]
    public void NestingIsRefused()
    {
        using var pool = new WorkerPool(2);
        var job = new NestedJob { Pool = pool };
        Assert.Throws<InvalidOperationException>(() => pool.Run(ref job, 4));
    }

    [Fact]
    public void ADisposedPoolRefusesAndDisposalEndsSleepers()
    {
        for (int i = 0; i < 20; i++)
        {
            var pool = new WorkerPool(4);
            Thread.Sleep(i % 4);
            pool.Dispose();
            pool.Dispose();
            var job = new CountJob { Runs = new int[2], Workers = 4 };
            Assert.Throws<ObjectDisposedException>(() => pool.Run(ref job, 2));
        }
    }

    private struct CountJob : IParallelJob
    {
        public int[] Runs;
        public int Workers, WrongWorkers;

        public void Execute(int task, int worker)
        {
            Interlocked.Increment(ref Runs[task]);
            if ((uint)worker >= (uint)Workers) Interlocked.Increment(ref WrongWorkers);
        }
    }

    private unsafe struct MeetJob : IParallelJob
    {
        public int* Arrived;
        public int Tasks;

        // Ends only when all three are inside, so every worker must have come.
        public readonly void Execute(int task, int worker)
        {
            Interlocked.Increment(ref *Arrived);
            long start = Environment.TickCount64;
            while (Volatile.Read(ref *Arrived) < Tasks)
            {
                Thread.Yield();
                if (Environment.TickCount64 - start > 20_000) throw new TimeoutException("a worker was not woken");
            }
        }
    }

    private struct ThrowJob : IParallelJob
    {
        public int At;

        public readonly void Execute(int task, int worker)
        {
            if (task == At) throw new FormatException($"task {task}");
        }
    }

    private struct NestedJob : IParallelJob
    {
        public WorkerPool Pool;

        public readonly void Execute(int task, int worker)
        {
            var inner = new CountJob { Runs = new int[2], Workers = 2 };
            Pool.Run(ref inner, 2);
        }
    }
}
