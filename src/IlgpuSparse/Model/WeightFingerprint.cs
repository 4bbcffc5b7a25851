using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace IlgpuSparse.Model;

/// <summary>
/// The identity of a set of weights: SHA-256 over names, formats and shapes and over four short samples of every tensor, so that a file of many gigabytes is identified by
/// reading a few hundred pages of it.
/// </summary>
internal static class WeightFingerprint
{
    private const int Samples = 4;
    private const int SampleBytes = 256;

    /// <summary>The first 64 bits of the hash, in hexadecimal.</summary>
    public static unsafe string Of(IEnumerable<ModelTensor> tensors)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> number = stackalloc byte[8];
        foreach (var tensor in tensors.OrderBy(t => t.Name, StringComparer.Ordinal))
        {
            hash.AppendData(Encoding.UTF8.GetBytes($"{tensor.Name}\0{tensor.Format}\0{string.Join(',', tensor.Shape)}\0"));
            BinaryPrimitives.WriteInt64LittleEndian(number, tensor.ByteLength);
            hash.AppendData(number);
            int count = (int)Math.Min(SampleBytes, tensor.ByteLength);
            for (int i = 0; i < Samples; i++)
                hash.AppendData(new ReadOnlySpan<byte>(tensor.Data + (tensor.ByteLength - count) / (Samples - 1) * i, count));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 8));
    }
}
