namespace IlgpuSparse.Compute.Cpu.Selection;

/// <summary>
/// What exact selection needs of a vector of 32-bit lanes. A key is a score as an integer that sorts alike: NaN is the lowest, both zeros are one. A mask has all bits of a lane set or none.
/// </summary>
internal unsafe interface IKeyLanes<T> where T : struct
{
    /// <summary>Lanes.</summary>
    static abstract int Count { get; }

    /// <summary>0, 1, 2 ...</summary>
    static abstract T Ascending { get; }

    /// <summary>The number in every lane.</summary>
    static abstract T Create(int value);

    /// <summary>Lanes from memory; no alignment asked for.</summary>
    static abstract T Load(int* source);

    /// <summary>Lanes to memory.</summary>
    static abstract void Store(T value, int* target);

    /// <summary>a + b.</summary>
    static abstract T Add(T a, T b);

    /// <summary>The smaller.</summary>
    static abstract T Min(T a, T b);

    /// <summary>The larger.</summary>
    static abstract T Max(T a, T b);

    /// <summary>Mask of a &gt; b.</summary>
    static abstract T Greater(T a, T b);

    /// <summary>Mask of a = b.</summary>
    static abstract T Same(T a, T b);

    /// <summary>Lanes of both masks.</summary>
    static abstract T And(T a, T b);

    /// <summary>Lanes of either mask.</summary>
    static abstract T Or(T a, T b);

    /// <summary>Lanes where the mask is not set.</summary>
    static abstract T Not(T mask);

    /// <summary>Floats as keys.</summary>
    static abstract T ToKeys(T scores);

    /// <summary>Lanes in the mask.</summary>
    static abstract int CountTrue(T mask);

    /// <summary>Writes the lanes of the mask one after the other. May write up to <see cref="Count"/> lanes, the rest of them undefined.</summary>
    static abstract void Compress(T value, T mask, int* target);

    /// <summary>
    /// Compresses the <paramref name="scores"/> (floats) that are at least <paramref name="threshold"/>, and the same lanes of <paramref name="positions"/>; returns how many. NaN is never one.
    /// </summary>
    static abstract int CompressAtLeast(T scores, T threshold, T positions, int* scoreTarget, int* positionTarget);
}
