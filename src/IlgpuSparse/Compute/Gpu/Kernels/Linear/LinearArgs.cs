using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Operands and sizes of a <see cref="LinearKernel"/> launch.</summary>
internal struct LinearArgs
{
    /// <summary>Addresses of the weight matrices.</summary>
    public long Weight0, Weight1, Weight2;

    /// <summary>16-byte units of each matrix.</summary>
    public int Chunks0, Chunks1, Chunks2;

    /// <summary>Activations <c>[row, 4 · RowQuads]</c>, of which the first <see cref="Columns"/> from <see cref="FirstQuad"/> are taken.</summary>
    public ArrayView<float> X;

    /// <summary>Where in <see cref="X"/> the rows begin, in units of four numbers.</summary>
    public long FirstQuad;

    /// <summary>Weight of the norm before the product; any memory without one.</summary>
    public ArrayView<ushort> Norm;

    /// <summary>0 without a norm, else 1 + its <see cref="Model.WeightFormat"/> (a plain one).</summary>
    public int NormFormat;

    /// <summary>The norm's ε.</summary>
    public float Epsilon;

    /// <summary>Bytes of a weight row / 2.</summary>
    public int RowUnits;

    /// <summary>Where in a weight row the inputs begin, in units of two bytes.</summary>
    public int FirstUnit;

    /// <summary>From one activation row to the next, in units of four numbers.</summary>
    public int RowQuads;

    /// <summary>Inputs.</summary>
    public int Columns;

    /// <summary>Activation rows.</summary>
    public int Rows;

    /// <summary>Stages a weight row, the last one filled up with zeros on the side of the activations.</summary>
    public int RowStages;

    /// <summary>Tiles of 16 weight rows.</summary>
    public int Tiles;

    /// <summary>Pairs (<see cref="RowStreamKernel"/>) or eights (<see cref="RowDigitKernel"/>) of weight rows that every group takes, and how many groups take one more.</summary>
    public int GroupShare, MoreShares;

    /// <summary>1 where the next kernel may start at once and not when this one's groups are at their end, see <see cref="DependentLaunch"/>.</summary>
    public int StartsNext;

    /// <summary>Stages of a warp's ring that are asked for before earlier kernels have ended; the activations would come behind what more there were.</summary>
    public int EarlyStages;

    /// <summary>
    /// Stages that are asked for when the activations have been. Those that are left are when the warp has made its part of them ready: copies that wait for their turn are in the way of everything that the multiprocessor
    /// asks its shared memory for, which makes that part take twice as long.
    /// </summary>
    public int NextStages;

    /// <summary>Device address of the weights' maps (<see cref="StageMaps"/>); 0 where they are not copied by them.</summary>
    public long Maps;

    /// <summary>The layout's first eights of the second and the third map, and parts a block of the first two maps and of the third, as powers of two: see <see cref="StageLayout"/>.</summary>
    public int SecondEight, ThirdEight, MapShift, ThirdMapShift;

    /// <summary>1 where the copy engine brings the activations of one row, see <see cref="BulkCopy"/>.</summary>
    public int BulkInput;

    /// <summary>The first of the group's pairs or eights.</summary>
    public readonly int FirstShare => GroupShare * Grid.IdxX + IntrinsicMath.Min(Grid.IdxX, MoreShares);

    /// <summary>How many pairs or eights the group has.</summary>
    public readonly int Shares => GroupShare + (Grid.IdxX < MoreShares ? 1 : 0);
}
