using IlgpuSparse.Compute.Gpu.Kernels.Linear;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>What products of a decode step know of the attention between them.</summary>
public sealed class ProductChainTests
{
    [Fact]
    public void TheProjectionBeforeAttentionDoesAsThatOfTheLayerBeforeWanted()
    {
        var chain = new ProductChain();
        Assert.False(chain.MayStartAttention || chain.LeavesRoom);
        chain.Attended(startsEarly: true, beside: true);
        Assert.True(chain.MayStartAttention && chain.LeavesRoom);
        chain.Attended(startsEarly: true);
        Assert.True(chain.MayStartAttention && !chain.LeavesRoom);
        chain.Attended(startsEarly: false);
        Assert.False(chain.MayStartAttention || chain.LeavesRoom);
    }
}
