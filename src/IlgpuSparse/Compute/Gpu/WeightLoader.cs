using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>Copies weights to the device as they are stored, into room that was reserved for all of them or each into memory of its own.</summary>
internal sealed class WeightLoader(GpuDevice device, MemoryLedger ledger)
{
    private const int UploadBytes = 64 << 20;

    /// <summary>The room of the weights that are being loaded; null where none was reserved.</summary>
    public WeightArena? Arena { get; private set; }

    /// <summary>Room for weights of <paramref name="sizes"/> bytes, the next ones to be loaded or allocated, until the result is disposed; null where each has memory of its own.</summary>
    /// <exception cref="InsufficientMemoryException">The device has not that much.</exception>
    public IDisposable? Reserve(IEnumerable<long> sizes)
    {
        Arena?.Dispose();
        // others bound the size of an allocation
        return Arena = device.IsCuda ? new WeightArena(device, sizes, ledger) : null;
    }

    /// <summary>Copies <paramref name="tensor"/>.</summary>
    /// <exception cref="ModelFormatException">The matrix has more rows than a kernel can count, or rows that are not whole groups of four numbers.</exception>
    /// <exception cref="InsufficientMemoryException">The device has not that much.</exception>
    public unsafe WeightMatrix Load(ModelTensor tensor)
    {
        if (tensor.Columns % 4 != 0 || tensor.Columns > int.MaxValue || tensor.Rows > int.MaxValue)
            throw new ModelFormatException(tensor.File, $"{tensor.Name} is [{tensor.Rows}, {tensor.Columns}]; the GPU needs rows of a multiple of 4 numbers");
        var data = new GpuBuffer(device, tensor.ByteLength, "weights", ledger, arena: Arena);
        try
        {
            for (long start = 0; start < tensor.ByteLength; start += UploadBytes)
                data.Upload(new ReadOnlySpan<byte>(tensor.Data + start, (int)Math.Min(UploadBytes, tensor.ByteLength - start)), start);
            return new WeightMatrix(tensor.Name, tensor.Format, (int)tensor.Rows, (int)tensor.Columns, data);
        }
        catch
        {
            data.Dispose();
            throw;
        }
    }
}
