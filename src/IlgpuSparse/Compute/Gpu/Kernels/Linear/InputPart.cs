namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>What a warp makes ready of one row of activations (<see cref="InputParts"/>).</summary>
internal struct InputPart
{
    /// <summary>The warp's pieces of 256 columns: from the first one on, and the one behind the last.</summary>
    public int First, End;

    /// <summary>The norm's weights of the lane's columns of two pieces, the first two to begin with, as stored, so that nothing waits for them yet.</summary>
    public U4 GainA, GainB, GainC, GainD;
}
