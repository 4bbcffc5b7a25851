namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// Which weight rows a tile of 16 takes, and what becomes of their products. Slots g and g + 8 of a tile end in the same thread: gate and up, or the two channels of a rotated pair.
/// </summary>
internal interface ILinearEpilogue
{
    /// <summary>Whether there is anything that <see cref="Finish"/> needs from <see cref="Ahead"/>.</summary>
    static abstract bool HasTerms { get; }

    /// <summary>Whether its weights are described by a map for each of three matrices, and not all by one (<see cref="StageLayout"/>).</summary>
    static abstract bool HasThreeMaps { get; }

    /// <summary>The operands of this group, where they are known on the device alone.</summary>
    LinearArgs Bind(LinearArgs args);

    /// <summary>Matrix of a slot: 0, 1 or 2 of <see cref="LinearArgs"/>; one for slots 0 to 7 and one for the others.</summary>
    int Matrix(int tile, int slot);

    /// <summary>Row of a slot in its matrix; any valid one where there is nothing to compute.</summary>
    int Row(int tile, int slot);

    /// <summary>What <see cref="Finish"/> needs for slots <paramref name="g"/> and <paramref name="g"/> + 8 and activation row <paramref name="row"/>: may be asked for before earlier kernels have ended.</summary>
    EpilogueTerms Ahead(int tile, int g, int row);

    /// <summary>Takes the products of slots <paramref name="g"/> and <paramref name="g"/> + 8 with activation row <paramref name="row"/>.</summary>
    void Finish(int tile, int g, int row, float upper, float lower, EpilogueTerms terms);
}
