using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;

namespace IlgpuSparse.Tests.Attention;

public class CpuTokenSelectionTests : TokenSelectionTests, IDisposable
{
    private readonly CpuBackend _backend;

    public CpuTokenSelectionTests() : this(vectorBits: 512) { }

    protected CpuTokenSelectionTests(int vectorBits) => _backend = new CpuBackend(threads: 3) { VectorBits = vectorBits };

    protected override ComputeBackend Backend => _backend;

    public void Dispose()
    {
        _backend.Dispose();
        GC.SuppressFinalize(this);
    }
}

public sealed class CpuTokenSelection256Tests() : CpuTokenSelectionTests(vectorBits: 256);

public sealed class CpuTokenSelection128Tests() : CpuTokenSelectionTests(vectorBits: 128);
