namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>Which recorded lists <see cref="ReplayKernel"/> writes, and how they are stretched.</summary>
internal struct ReplayArgs
{
    /// <summary>Recorded steps, layers, and lists a layer.</summary>
    public int Steps, Layers, Heads;

    /// <summary>Room a recorded list.</summary>
    public int Room;

    /// <summary>Tokens of the recorded prompt.</summary>
    public int Prompt;

    /// <summary>Position of the first step that is replayed, and tokens that one of the prompt stands for.</summary>
    public int Start, Stretch;

    /// <summary>The recorded layer.</summary>
    public int Layer;

    /// <summary>Room a list.</summary>
    public int Capacity;
}
