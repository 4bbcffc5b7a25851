using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Rows of the embedding table, decoded.</summary>
internal static unsafe class CpuEmbedding
{
    public static void Run(WeightMatrix table, DeviceSpan ids, int rows, DeviceSpan x)
    {
        int* id = CpuBuffer.Pointer<int>(ids);
        float* target = CpuBuffer.Pointer<float>(x);
        byte* data = ((CpuBuffer)table.Data).Data;
        long rowBytes = table.Format.ByteLength(table.Columns);
        for (int row = 0; row < rows; row++, target += table.Columns)
        {
            if ((uint)id[row] >= (uint)table.Rows)
                throw new ArgumentOutOfRangeException(nameof(ids), id[row], $"token id outside the {table.Rows} rows of {table.Name}");
            CpuDequantise.Run(table.Format, data + id[row] * rowBytes, target, table.Columns);
        }
    }
}
