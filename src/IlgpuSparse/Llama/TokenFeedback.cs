using IlgpuSparse.Compute;

namespace IlgpuSparse.Llama;

/// <summary>What the device keeps of queued steps for the host to read: the tokens drawn last, and how many draws there were.</summary>
internal sealed class TokenFeedback : IDisposable
{
    /// <summary>Most steps of a batch of queued steps.</summary>
    public const int BatchSteps = 8;

    /// <summary>Batches queued at once: one that the host waits for and one that runs while it looks at the tokens.</summary>
    public const int Batches = 2;

    /// <summary>Tokens kept; the one drawn at position p lies in slot p mod this.</summary>
    public const int Slots = Batches * BatchSteps;

    private readonly DeferredDownload[] _downloads = new DeferredDownload[Batches];

    public TokenFeedback(ComputeBackend backend)
    {
        History = backend.Allocate(Slots * sizeof(int), "step");
        try
        {
            Draws = backend.Allocate(sizeof(int), "step");
            for (int i = 0; i < Batches; i++) _downloads[i] = backend.CreateDownload(History);
        }
        catch
        {
            foreach (var download in _downloads) download?.Dispose();
            Draws?.Dispose();
            History.Dispose();
            throw;
        }
    }

    /// <summary>Tokens, int32 <c>[slot]</c>.</summary>
    public DeviceBuffer History { get; }

    /// <summary>Draws so far, int32 <c>[1]</c>.</summary>
    public DeviceBuffer Draws { get; }

    /// <summary>The copy of <see cref="History"/> at the end of batch <paramref name="index"/>.</summary>
    public DeferredDownload Download(int index) => _downloads[index];

    public void Dispose()
    {
        foreach (var download in _downloads) download?.Dispose();
        History.Dispose();
        Draws.Dispose();
    }
}
