using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// One thread a core for the decoder's operations. A decode step is a hundred parallel regions of tens of microseconds, so starting one must cost a microsecond:
/// workers spin for a while after a region before they sleep, tasks are taken from one counter, and nothing is allocated.
/// </summary>
internal sealed unsafe class WorkerPool : IDisposable
{
    // About 60 µs of pauses: longer than the serial gaps inside a step, shorter than what anyone would call busy waiting.
    private const int SpinsBeforeSleep = 2000;

    private readonly Thread[] _threads;
    private readonly Lock _gate = new();
    private readonly SemaphoreSlim[] _wake;
    private readonly int[] _asleep;
    private volatile int _generation;
    private volatile bool _stopping;
    private delegate*<void*, int, int, void> _body;
    private void* _job;
    private int _tasks;
    private int _next;
    private int _running;
    private Exception? _failure;

    public WorkerPool(int workers)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(workers, 1);
        Workers = workers;
        Scratch = new WorkerScratch(workers);
        _threads = new Thread[workers - 1];
        _asleep = new int[workers];
        _wake = [.. Enumerable.Range(0, workers).Select(_ => new SemaphoreSlim(0))];
        for (int i = 0; i < _threads.Length; i++)
        {
            int worker = i + 1;
            _threads[i] = new Thread(() => Loop(worker)) { IsBackground = true, Name = $"ilgpusparse worker {worker}" };
            _threads[i].Start();
        }
    }

    /// <summary>Threads that take part, the caller's included.</summary>
    public int Workers { get; }

    /// <summary>Memory for intermediate results.</summary>
    public WorkerScratch Scratch { get; }

    /// <summary>Runs tasks 0 .. <paramref name="tasks"/> - 1 of <paramref name="job"/> and returns when all are done. Calls from several threads take turns.</summary>
    public void Run<TJob>(ref TJob job, int tasks) where TJob : struct, IParallelJob
    {
        if (tasks <= 0) return;
        if (tasks == 1 || _threads.Length == 0)
        {
            for (int t = 0; t < tasks; t++) job.Execute(t, 0);
            return;
        }
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_stopping, this);
            fixed (byte* pin = &Unsafe.As<TJob, byte>(ref job)) // jobs that live in an object must not move meanwhile
            {
                _job = pin;
                _body = &Invoke<TJob>;
                _tasks = tasks;
                _next = 0;
                _failure = null;
                Volatile.Write(ref _running, _threads.Length);
                Interlocked.Increment(ref _generation);
                WakeSleepers();
                Work(0);
                var spin = new SpinWait();
                while (Volatile.Read(ref _running) != 0) spin.SpinOnce(sleep1Threshold: -1);
            }
            if (_failure is { } failure) throw new InvalidOperationException("A parallel task failed: " + failure.Message, failure);
        }
    }

    private static void Invoke<TJob>(void* job, int task, int worker) where TJob : struct, IParallelJob =>
        Unsafe.AsRef<TJob>(job).Execute(task, worker);

    private void WakeSleepers()
    {
        for (int worker = 1; worker < Workers; worker++)
            if (Interlocked.Exchange(ref _asleep[worker], 0) == 1) _wake[worker].Release();
    }

    private void Work(int worker)
    {
        try
        {
            int task;
            while ((task = Interlocked.Increment(ref _next) - 1) < _tasks) _body(_job, task, worker);
        }
        catch (Exception e)
        {
            Volatile.Write(ref _next, _tasks);
            Interlocked.CompareExchange(ref _failure, e, null);
        }
    }

    private void Loop(int worker)
    {
        int seen = 0;
        while (true)
        {
            int spins = 0;
            while (_generation == seen && !_stopping)
            {
                if (++spins < SpinsBeforeSleep)
                {
                    Thread.SpinWait(8);
                    continue;
                }
                // Announce the sleep, then look once more; whoever clears the announcement owns the permit.
                Interlocked.Exchange(ref _asleep[worker], 1);
                bool nothingNew = _generation == seen && !_stopping;
                if (nothingNew || Interlocked.Exchange(ref _asleep[worker], 0) == 0) _wake[worker].Wait();
                spins = 0;
            }
            if (_stopping) return;
            seen = _generation;
            Work(worker);
            Interlocked.Decrement(ref _running);
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            if (_stopping) return;
            _stopping = true;
            WakeSleepers();
        }
        foreach (var thread in _threads) thread.Join();
        foreach (var semaphore in _wake) semaphore.Dispose();
        Scratch.Dispose();
    }
}
