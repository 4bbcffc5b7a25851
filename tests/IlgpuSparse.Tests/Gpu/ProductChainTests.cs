using IlgpuSparse.Compute.Gpu.Kernels.Linear;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>Which products of a decode step take more than half of a multiprocessor's shared memory: never two one after another, unless one does by its inputs.</summary>
public sealed class ProductChainTests
{
    [Theory]
    [InlineData(true, "wide narrow wide narrow")]
    [InlineData(false, "narrow wide narrow wide")]
    public void ProductsAreWideInTurn(bool startsEarly, string expected)
    {
        var chain = new ProductChain();
        for (int layer = 0; layer < 3; layer++) Assert.Equal(expected, Layer(chain, startsEarly, largeInputs: false));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void WhatIsWideByItsInputsGetsAWideOnesPlace(bool startsEarly)
    {
        var chain = new ProductChain();
        Layer(chain, startsEarly, largeInputs: true);
        for (int layer = 0; layer < 2; layer++) Assert.Equal("wide narrow wide narrow", Layer(chain, startsEarly, largeInputs: true));
    }

    [Fact]
    public void OnlyAStepAsOneKernelMayStartEarly()
    {
        var chain = new ProductChain();
        Assert.False(chain.MayStartAttention);
        chain.Attended(startsEarly: true);
        Assert.True(chain.MayStartAttention);
        chain.Attended(startsEarly: false);
        Assert.False(chain.MayStartAttention);
    }

    // Attention, then output projection, gate and up, down (which may have more inputs than fit half of the memory), and the next layer's queries, keys and values.
    private static string Layer(ProductChain chain, bool startsEarly, bool largeInputs)
    {
        chain.Attended(startsEarly);
        var turns = new List<string>();
        for (int product = 0; product < 4; product++)
        {
            bool wide = chain.IsWide || (largeInputs && product == 2);
            turns.Add(wide ? "wide" : "narrow");
            chain.Multiplied(wide);
        }
        return string.Join(' ', turns);
    }
}
