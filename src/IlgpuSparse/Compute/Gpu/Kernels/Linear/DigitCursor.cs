namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>The next stage of eight weight rows that a warp asks for, as a lane sees it, which copies every fourth unit of one of them.</summary>
internal struct DigitCursor
{
    /// <summary>Stages that are left to ask for.</summary>
    public int Left;

    /// <summary>Eight rows: two a tile.</summary>
    public int Eight;

    /// <summary>Stage of the rows.</summary>
    public int Stage;

    /// <summary>Whole eights of rows from one of the warp's stages to its next.</summary>
    public int StepEights;

    /// <summary>Stages that the step has besides: fewer than a row.</summary>
    public int StepStages;

    /// <summary>Device address of the lane's first unit of the stage.</summary>
    public long Source;
}
