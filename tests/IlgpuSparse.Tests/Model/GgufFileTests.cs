using System.Buffers.Binary;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Model;

/// <summary>The GGUF container: every type read back, every kind of damage refused with the file's name.</summary>
public sealed class GgufFileTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(2u)]
    [InlineData(3u)]
    public void Values_of_every_type_are_read_back(uint version)
    {
        using var gguf = Open(new GgufWriter { Version = version }
            .Set("u8", (byte)200).Set("i8", (sbyte)-100).Set("u16", (ushort)60000).Set("i16", (short)-30000).Set("u32", 4000000u).Set("i32", -2000000)
            .Set("u64", 5UL).Set("i64", -5L).Set("f32", 1.5f).Set("f64", 2.5).Set("yes", true).Set("no", false).Set("text", "grün ▁")
            .Set("strings", new[] { "a", "", "ß" }).Set("floats", new[] { 1f, -2f }).Set("ints", new[] { 3, -4 }).Set("bytes", new byte[] { 7, 8 })
            .Set("nested", new[] { new[] { 1, 2 }, [3] }).Set("same", new[] { 8u, 8u, 8u }).Set("different", new[] { 8u, 9u }));
        var m = gguf.Metadata;
        Assert.Equal([200, -100, 60000, -30000, 4000000, -2000000, 5, -5], new[] { "u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64" }.Select(k => m.Integer(k)));
        Assert.Equal([1.5f, 2.5f, 200f], new[] { "f32", "f64", "u8" }.Select(m.FindNumber).Cast<float>());
        Assert.True(m.FindBool("yes"));
        Assert.False(m.FindBool("no"));
        Assert.Equal("grün ▁", m.FindString("text"));
        Assert.Equal(["a", "", "ß"], m.FindStrings("strings")!);
        Assert.Equal([1, -2], m.FindNumbers("floats")!);
        Assert.Equal([3, -4], m.FindIntegers("ints")!);
        Assert.Equal([7, 8], m.FindIntegers("bytes")!);
        Assert.Equal(8, m.Integer("same"));
        Assert.Null(m.FindInteger("absent"));
        Assert.Contains("'different'", Refused(() => m.Integer("different")));
        Assert.Contains("'text'", Refused(() => m.Integer("text")));
        Assert.Contains("'nested'", Refused(() => m.FindStrings("nested")));
        Assert.Contains("'absent'", Refused(() => m.Integer("absent")));
    }

    [Theory]
    [InlineData(WeightFormat.F32)]
    [InlineData(WeightFormat.F16)]
    [InlineData(WeightFormat.BF16)]
    [InlineData(WeightFormat.Q8_0)]
    [InlineData(WeightFormat.Q4_0)]
    [InlineData(WeightFormat.Q4_1)]
    [InlineData(WeightFormat.Q4_K)]
    [InlineData(WeightFormat.Q5_K)]
    [InlineData(WeightFormat.Q6_K)]
    public unsafe void Tensors_of_every_format_are_read_back(WeightFormat format)
    {
        byte[] data = new byte[format.ByteLength(3 * 512)];
        Random.Shared.NextBytes(data);
        var writer = new GgufWriter { Alignment = 64 }.Set("general.alignment", 64u).Tensor("first", WeightFormat.F32, 1).Tensor("t", Number(format), [3, 512], data);
        using var gguf = Open(writer);
        var tensor = gguf.Tensors["t"];
        Assert.Equal(format, tensor.Format);
        Assert.Equal([3, 512], tensor.Shape);
        Assert.Equal(data, new ReadOnlySpan<byte>(tensor.Data, checked((int)tensor.ByteLength)).ToArray());
    }

    [Fact]
    public void What_is_not_supported_is_refused_by_name()
    {
        Assert.Contains("Q2_K", Refused(new GgufWriter().Tensor("t", 10, [1, 256], new byte[84])));
        Assert.Contains("IQ4_XS", Refused(new GgufWriter().Tensor("t", 23, [1, 256], new byte[136])));
        Assert.Contains("unknown type 77", Refused(new GgufWriter().Tensor("t", 77, [1, 256], new byte[136])));
        Assert.Contains("version 1", Refused(new GgufWriter { Version = 1 }));
        Assert.Contains("version 4", Refused(new GgufWriter { Version = 4 }));
        Assert.Contains("big-endian", Refused(new GgufWriter { Version = BinaryPrimitives.ReverseEndianness(3u) }));
    }

    [Fact]
    public void Contradictions_are_refused()
    {
        Assert.Contains("'k' occurs twice", Refused(new GgufWriter().Set("k", 1).Set("k", 2)));
        Assert.Contains("'t' occurs twice", Refused(new GgufWriter().Tensor("t", WeightFormat.F32, 2).Tensor("t", WeightFormat.F32, 2)));
        Assert.Contains("power of two", Refused(new GgufWriter().Set("general.alignment", 48u)));
        Assert.Contains("power of two", Refused(new GgufWriter().Set("general.alignment", 0u)));
        Assert.Contains("multiple of the alignment", Refused(new GgufWriter { OffsetShift = 4 }.Tensor("t", WeightFormat.F32, 2)));
        Assert.Contains("cut short", Refused(new GgufWriter { OffsetShift = 32 }.Tensor("t", WeightFormat.F32, 2)));
        Assert.Contains("cut short", Refused(new GgufWriter { OffsetShift = ulong.MaxValue - 31 }.Tensor("t", WeightFormat.F32, 2)));
        Assert.Contains("whole Q8_0 blocks of 32", Refused(new GgufWriter().Tensor("t", Number(WeightFormat.Q8_0), [1, 40], new byte[68])));
        Assert.Contains("larger than the file", Refused(new GgufWriter().Tensor("t", 0, [1L << 40, 1L << 40, 1L << 40, 1L << 40], new byte[68])));
        Assert.Contains("larger than the file", Refused(new GgufWriter().Tensor("t", 0, [long.MaxValue, long.MaxValue], new byte[68])));
        Assert.Contains("0 dimensions", Refused(new GgufWriter().Tensor("t", 0, [], new byte[4])));
        Assert.Contains("5 dimensions", Refused(new GgufWriter().Tensor("t", 0, [1, 1, 1, 1, 1], new byte[4])));
        Assert.Contains("nests arrays", Refused(new GgufWriter().Set("deep", new[] { new[] { new[] { new[] { new[] { 1 } } } } })));
    }

    [Fact]
    public void A_file_of_no_tensors_and_one_of_empty_tensors_open()
    {
        using var none = Open(new GgufWriter());
        Assert.Empty(none.Tensors);
        using var empty = Open(new GgufWriter().Tensor("t", WeightFormat.F32, 0, 4));
        Assert.Equal(0, empty.Tensors["t"].ByteLength);
    }

    [Fact]
    public void A_file_cut_short_anywhere_is_refused()
    {
        byte[] whole = TinyGguf.Llama(WeightFormat.Q4_0, layers: 1).ToArray();
        // Every length through the header, then sparsely through the data, then the last bytes.
        foreach (int length in Enumerable.Range(0, 3000).Concat(Enumerable.Range(0, 40).Select(i => 3000 + i * (whole.Length - 3000) / 40)).Append(whole.Length - 1))
        {
            string path = _directory.Write("cut.gguf", whole[..length]);
            var e = Assert.Throws<ModelFormatException>(() => ModelFile.Open(path).Dispose());
            Assert.StartsWith(path + ": ", e.Message, StringComparison.Ordinal);
        }
        using var model = ModelFile.Open(_directory.Write("whole.gguf", whole));
    }

    [Fact]
    public void Damaged_headers_open_or_are_refused_but_nothing_else()
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        byte[] whole = TinyGguf.Llama(WeightFormat.Q8_0, layers: 1, experts: 3).ToArray();
        int refused = 0;
        for (int i = 0; i < 4000; i++)
        {
            byte[] damaged = Mutation.Of(whole, 3000, random);
            string path = _directory.Write("damaged.gguf", damaged);
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                using var model = ModelFile.Open(path);
                _ = model.Tokenizer;
                _ = model.Fingerprint;
            }
            catch (ModelFormatException e)
            {
                Assert.StartsWith(path + ": ", e.Message, StringComparison.Ordinal);
                refused++;
            }
            catch (Exception e)
            {
                Assert.Fail($"seed {seed}, file {i}: {e}");
            }
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.True(allocated < 8 << 20, $"seed {seed}, file {i}: {allocated} bytes allocated for a file of {damaged.Length}");
        }
        Assert.True(refused > 1000, $"seed {seed}: only {refused} refused");
    }

    private static uint Number(WeightFormat format) => format switch
    {
        WeightFormat.F32 => 0,
        WeightFormat.F16 => 1,
        WeightFormat.Q4_0 => 2,
        WeightFormat.Q4_1 => 3,
        WeightFormat.Q8_0 => 8,
        WeightFormat.Q4_K => 12,
        WeightFormat.Q5_K => 13,
        WeightFormat.Q6_K => 14,
        _ => 30,
    };

    private GgufFile Open(GgufWriter writer) => new(_directory.Write("test.gguf", writer.ToArray()));

    private string Refused(GgufWriter writer) => Refused(() => Open(writer).Dispose());

    private string Refused(Action action)
    {
        var e = Assert.Throws<ModelFormatException>(action);
        Assert.StartsWith(_directory.File("test.gguf"), e.Message, StringComparison.Ordinal);
        return e.Message;
    }
}
