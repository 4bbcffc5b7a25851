using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// One thread a core for the decoder's operations. A decode step is a hundred parallel regions of tens of microseconds, so starting one must cost a microsecond:
/// workers spin for a while after a region before they sleep, tasks are taken from one counter, and nothing is allocated. A region does not wait for workers that have not
/// joined it: when the tasks are gone before a sleeping or descheduled thread arrives, it ends without that thread.
/// </summary>
internal sealed unsafe class WorkerPool : IDisposable
{
    // About 60 µs of pauses: longer than the serial gaps inside a step, shorter than what anyone would call busy waiting.
    private const int SpinsBeforeSleep = 2000;

    // _state is (generation << GenerationShift) + workers inside the region; an odd generation is an open region.
    private const int GenerationShift = 16;
    private const long NextGeneration = 1L << GenerationShift;

    [ThreadStatic] private static bool t_inside;

    private readonly Thread[] _threads;
    private readonly Lock _gate = new();
    private readonly SemaphoreSlim[] _wake;
    private readonly int[] _asleep;
    private volatile bool _stopping;
    private delegate*<void*, int, int, void> _body;
    private void* _job;
    private int _tasks;
    private Exception? _failure;
    private long _state;
    private int _next;

    /// <summary>Starts <paramref name="workers"/> - 1 threads; scratch is accounted in <paramref name="ledger"/>.</summary>
    public WorkerPool(int workers, MemoryLedger? ledger = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(workers, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(workers, short.MaxValue);
        Workers = workers;
        Scratch = new CpuScratch(workers, ledger);
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

    /// <summary>Memory for the operations, reused.</summary>
    public CpuScratch Scratch { get; }

    /// <summary>
    /// Runs tasks 0 .. <paramref name="tasks"/> - 1 of <paramref name="job"/> and returns when all are done. Calls from several threads take turns. A task that throws ends the
    /// region: tasks not yet begun are left out and the (first) exception is thrown here.
    /// </summary>
    /// <exception cref="InvalidOperationException">Called from inside a task.</exception>
    public void Run<TJob>(ref TJob job, int tasks) where TJob : struct, IParallelJob
    {
        if (tasks <= 0) return;
        if (t_inside) throw new InvalidOperationException("a parallel task cannot start a parallel region");
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
                if (tasks == 1 || _threads.Length == 0) Work(0);
                else RunShared();
            }
            if (_failure is { } failure) ExceptionDispatchInfo.Throw(failure);
        }
    }

    private void RunShared()
    {
        Interlocked.Add(ref _state, NextGeneration);
        int sleepers = Math.Min(Workers, _tasks);
        for (int worker = 1; worker < sleepers; worker++) Wake(worker);
        Work(0);
        Interlocked.Add(ref _state, NextGeneration); // nobody joins from here on
        var spin = new SpinWait();
        while ((Volatile.Read(ref _state) & (NextGeneration - 1)) != 0) spin.SpinOnce(sleep1Threshold: -1);
    }

    private static void Invoke<TJob>(void* job, int task, int worker) where TJob : struct, IParallelJob =>
        Unsafe.AsRef<TJob>(job).Execute(task, worker);

    private void Wake(int worker)
    {
        if (Volatile.Read(ref _asleep[worker]) == 1 && Interlocked.Exchange(ref _asleep[worker], 0) == 1) _wake[worker].Release();
    }

    private void Work(int worker)
    {
        t_inside = true;
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
        t_inside = false;
    }

    private void Loop(int worker)
    {
        long seen = 0;
        int spins = 0;
        while (!_stopping)
        {
            if (TryJoin(ref seen))
            {
                Work(worker);
                Interlocked.Decrement(ref _state);
                spins = 0;
            }
            else if (++spins < SpinsBeforeSleep)
            {
                Thread.SpinWait(8);
            }
            else
            {
                Sleep(worker, seen);
                spins = 0;
            }
        }
    }

    // Enters the open region, unless there is none or it is the one that this worker has left already.
    private bool TryJoin(ref long seen)
    {
        long state = Volatile.Read(ref _state);
        while (IsNews(state, seen))
        {
            long before = Interlocked.CompareExchange(ref _state, state + 1, state);
            if (before == state)
            {
                seen = state >> GenerationShift;
                return true;
            }
            state = before;
        }
        return false;
    }

    private static bool IsNews(long state, long seen) => (state >> GenerationShift & 1) != 0 && state >> GenerationShift != seen;

    // Announces the sleep, then looks once more: either this look sees the new region or its opener sees the announcement, because both write before
    // they read with a full fence between. Whoever clears the announcement owns the permit, so a permit that was given is always taken.
    private void Sleep(int worker, long seen)
    {
        Interlocked.Exchange(ref _asleep[worker], 1);
        bool quiet = !IsNews(Interlocked.Read(ref _state), seen) && !_stopping;
        if (quiet || Interlocked.Exchange(ref _asleep[worker], 0) == 0) _wake[worker].Wait();
    }

    public void Dispose()
    {
        lock (_gate)
        {
            if (_stopping) return;
            _stopping = true;
            Interlocked.MemoryBarrier();
            for (int worker = 1; worker < Workers; worker++) Wake(worker);
        }
        foreach (var thread in _threads) thread.Join();
        foreach (var semaphore in _wake) semaphore.Dispose();
        Scratch.Dispose();
    }
}
