using System.Text;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Model;

/// <summary>The safetensors container, on files of the format's own test suite and on damaged ones.</summary>
public sealed class SafetensorsFileTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("bad_empty_file", "empty")]
    [InlineData("bad_header_length_past_end", "header claims 60 bytes")]
    [InlineData("bad_header_not_json", "not valid")]
    [InlineData("bad_overlapping_offsets", "inside 'weight_")]
    [InlineData("bad_shape_overflow_1", "18446744073709551614")]
    [InlineData("bad_truncated_data", "cut short")]
    [InlineData("duplicate_keys_in_header", "key01")]
    public void Damaged_files_are_refused_with_the_reason(string name, string reason)
    {
        string path = TestFiles.Data("safetensors", name + ".safetensors");
        var e = Assert.Throws<ModelFormatException>(() => new SafetensorsFile(path));
        Assert.StartsWith(path + ": ", e.Message, StringComparison.Ordinal);
        Assert.Contains(reason, e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("basic_model", "attention:I8[2,3] embedding:F32[2,2]")]
    [InlineData("ok_2x2", "test:I32[2,2]")]
    [InlineData("ok_empty_shape", "test:I32[]")]
    [InlineData("ok_whitespace_trailing", "")]
    [InlineData("ok_zero_sized_tensor", "test:I32[2,0]")]
    [InlineData("with_metadata", "attention:I8[2,3] embedding:F32[2,2]")]
    public void Sound_files_open(string name, string expected)
    {
        using var file = new SafetensorsFile(TestFiles.Data("safetensors", name + ".safetensors"));
        Assert.Equal(expected, string.Join(' ', file.Entries.OrderBy(e => e.Name, StringComparer.Ordinal).Select(e => $"{e.Name}:{e.Dtype}[{string.Join(',', e.Shape)}]")));
    }

    [Fact]
    public void A_weight_of_another_dtype_is_refused_by_name_when_asked_for()
    {
        using var file = new SafetensorsFile(TestFiles.Data("safetensors", "basic_model.safetensors"));
        Assert.Equal(WeightFormat.F32, file.Find("embedding")!.Format);
        Assert.Null(file.Find("absent"));
        var e = Assert.Throws<ModelFormatException>(() => file.Find("attention"));
        Assert.Contains("'attention' has dtype I8", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8, "bytes from 0 on belong to no tensor")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 8, "its tensors take 4 bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}""", 4, "takes 8 bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}""", 4, "before it begins")]
    [InlineData("""{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}""", 4, "-1")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}""", 4, "1.5")]
    [InlineData("""{"a":{"dtype":"X9","shape":[1],"data_offsets":[0,4]}}""", 4, "unknown dtype 'X9'")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1]}}""", 4, "lacks")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}""", 4, "lacks")]
    [InlineData("""{"a":7}""", 0, "lacks")]
    [InlineData("""[1]""", 0, "does not begin with '{'")]
    [InlineData("""{"a\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 4, "not valid")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904,4611686018427387904],"data_offsets":[0,4]}}""", 4, "larger than any file")]
    public void Contradictory_headers_are_refused(string header, int data, string reason)
    {
        string path = _directory.Write("test.safetensors", Bytes(header, data));
        var e = Assert.Throws<ModelFormatException>(() => new SafetensorsFile(path));
        Assert.StartsWith(path + ": ", e.Message, StringComparison.Ordinal);
        Assert.Contains(reason, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Damaged_headers_open_or_are_refused_but_nothing_else()
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        byte[] whole = Bytes("""{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}}""", 32);
        int refused = 0;
        for (int i = 0; i < 4000; i++)
        {
            byte[] damaged = Mutation.Of(whole, whole.Length - 32, random);
            string path = _directory.Write("damaged.safetensors", damaged);
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                using var file = new SafetensorsFile(path);
                foreach (var entry in file.Entries.Where(e => e.IsWeight)) _ = file.Find(entry.Name);
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

    /// <summary>A file of that header and <paramref name="data"/> bytes.</summary>
    internal static byte[] Bytes(string header, int data) => [.. BitConverter.GetBytes((ulong)Encoding.UTF8.GetByteCount(header)), .. Encoding.UTF8.GetBytes(header), .. new byte[data]];
}
