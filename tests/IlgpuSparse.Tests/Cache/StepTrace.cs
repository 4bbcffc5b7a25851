using System.Globalization;
using System.Text;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu.Kernels.Offload;
using IlgpuSparse.Llama;

namespace IlgpuSparse.Tests.Cache;

/// <summary>What every layer of decode steps had, selected, read and gave: two of them say where two runs part, so that one failure on a far machine is enough. Traced steps are not recorded.</summary>
internal sealed class StepTrace
{
    private readonly List<Part> _parts = [];
    private int _step;

    /// <summary>Traces the decode steps of <paramref name="decoder"/> from now on.</summary>
    public void Attach(LlamaDecoder decoder) => decoder.Attended = (layer, batch, q, y) => Take(decoder, layer, batch, q, y);

    /// <summary>Where <paramref name="other"/> parts from this one, the first parts first.</summary>
    public string Compare(StepTrace other)
    {
        var text = new StringBuilder();
        foreach (var (a, b) in _parts.Zip(other._parts))
        {
            if (a.Differences(b) is { Length: > 0 } differences) text.AppendLine(CultureInfo.InvariantCulture, $"step {a.Step} layer {a.Layer}: {differences}");
        }
        return text.Length > 0 ? text.ToString() : "step by step, without a recording, both are the same: what differs is in recorded steps or in what runs beside them";
    }

    private void Take(LlamaDecoder decoder, int layer, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        if (layer == 0) _step++;
        var c = decoder.Config;
        int width = batch.Rows * c.Heads * c.HeadDim;
        var lists = new List<List>();
        if (!batch.IsDense && decoder.Policy.SetsOf(layer, batch) is { } sets)
        {
            int[] counts = ((DeviceSpan)sets.Counts).ToArray<int>(batch.Rows * sets.Sets), tokens = ((DeviceSpan)sets.Indices).ToArray<int>(batch.Rows * sets.Sets * sets.Capacity);
            for (int i = 0; i < counts.Length; i++)
            {
                int row = i / sets.Sets, set = i % sets.Sets, kvHead = set / (sets.Sets / c.KvHeads);
                int[] list = tokens.AsSpan(i * sets.Capacity, counts[i]).ToArray();
                var stored = list.Select(token => Row(decoder.Cache.Layers[layer], StoredRow(batch, row, kvHead, token, c.KvHeads), c.HeadDim)).ToList();
                lists.Add(new List(row, set, list, stored, Fetched(decoder, sets, row, set, list.Length)));
            }
        }
        // the last block of a sequence has tokens that are not there yet
        var kept = new List<(string Where, byte[] Bytes)>();
        foreach (var (part, buffer) in decoder.Policy.State(layer).Index())
        {
            if (buffer is null) continue;
            byte[] all = ((DeviceSpan)buffer).ToArray<byte>((int)buffer.ByteLength);
            int bytes = all.Length / decoder.Cache.Blocks;
            for (int row = 0; row < batch.Rows; row++)
                for (int index = 0, last = batch.HostPositions[row] >> KvLayer.BlockShift; index <= last; index++)
                    kept.Add(($"part {part} row {row} block {index} of {last + 1}", all.AsSpan(batch.HostBlocks(row)[index] * bytes, bytes).ToArray()));
        }
        _parts.Add(new Part(_step, layer, c.HeadDim, q.ToArray<float>(width), y.ToArray<float>(width), lists, kept));
    }

    private static long StoredRow(StepBatch batch, int row, int kvHead, int token, int kvHeads) =>
        (((long)batch.HostBlocks(row)[token >> KvLayer.BlockShift] * kvHeads + kvHead) << KvLayer.BlockShift) + (token & (KvLayer.BlockTokens - 1));

    // The rows that attention read, where they were gathered first.
    private static List<byte[]>? Fetched(LlamaDecoder decoder, TokenSets sets, int row, int set, int count)
    {
        if ((decoder.Cache as HostKvCache)?.Fetched is not { } fetched) return null;
        int kvHead = set / fetched.SetsPerKvHead, kvHeads = decoder.Config.KvHeads;
        var args = new FetchArgs { RowBlocks = fetched.Blocks, KvHeads = kvHeads, Capacity = sets.Capacity };
        return [.. Enumerable.Range(0, count).Select(entry => Row(fetched.Layer, FetchKernel.FetchedRow(args, row, kvHead, set % fetched.SetsPerKvHead, entry), decoder.Config.HeadDim))];
    }

    // K and V of a row, as stored.
    private static byte[] Row(KvLayer layer, long row, int headDim)
    {
        int bytes = headDim * layer.Format.ElementBytes();
        byte[] both = new byte[2 * bytes];
        layer.K.Download(both.AsSpan(0, bytes), row * bytes);
        layer.V.Download(both.AsSpan(bytes), row * bytes);
        return both;
    }

    private sealed record List(int Row, int Set, int[] Tokens, List<byte[]> Stored, List<byte[]>? Fetched)
    {
        public IEnumerable<int> Wrong => Fetched is null ? [] : Enumerable.Range(0, Tokens.Length).Where(i => !Fetched[i].AsSpan().SequenceEqual(Stored[i]));
    }

    private sealed record Part(int Step, int Layer, int HeadDim, float[] Queries, float[] Output, List<List> Lists, List<(string Where, byte[] Bytes)> Kept)
    {
        public string Differences(Part other)
        {
            var found = new List<string>();
            Heads("query", Queries, other.Queries);
            foreach (var (a, b) in Lists.Zip(other.Lists))
            {
                string where = $"row {a.Row} set {a.Set}";
                if (!a.Tokens.SequenceEqual(b.Tokens))
                    found.Add($"{where} list of {a.Tokens.Length} and {b.Tokens.Length} tokens, {(a.Tokens.Order().SequenceEqual(b.Tokens.Order()) ? "the same in another order" : $"{a.Tokens.Except(b.Tokens).Count()} of them in the first alone")}");
                else if (a.Tokens.Where((_, i) => !a.Stored[i].AsSpan().SequenceEqual(b.Stored[i])).ToList() is { Count: > 0 } stored) found.Add($"{where} tokens whose rows in the cache differ: {Some(stored)}");
                foreach (var (name, list) in new[] { ("first", a), ("second", b) })
                    if (list.Wrong.ToList() is { Count: > 0 } wrong) found.Add($"{where} rows that the {name} read and that are not those of the cache: {Some(wrong.Select(i => list.Tokens[i]))} (entries {Some(wrong)})");
            }
            if (Lists.Count != other.Lists.Count) found.Add($"{Lists.Count} and {other.Lists.Count} lists");
            foreach (var (a, b) in Kept.Zip(other.Kept))
                if (a.Bytes.Zip(b.Bytes).Count(x => x.First != x.Second) is > 0 and int differing) found.Add($"what the policy keeps, {a.Where}: {differing} of {a.Bytes.Length} bytes");
            Heads("output", Output, other.Output);
            return string.Join("; ", found);

            void Heads(string what, float[] a, float[] b)
            {
                var differing = a.Zip(b).Index().Where(x => BitConverter.SingleToInt32Bits(x.Item.First) != BitConverter.SingleToInt32Bits(x.Item.Second)).ToList();
                if (differing.Count > 0) found.Add($"{what} of heads (all rows) {Some(differing.Select(x => x.Index / HeadDim).Distinct())}, by up to {differing.Max(x => Math.Abs(x.Item.First - x.Item.Second)):0.0e+0}");
            }
        }

        private static string Some(IEnumerable<int> numbers)
        {
            int[] all = [.. numbers];
            return string.Join(", ", all.Take(8)) + (all.Length > 8 ? $", ... ({all.Length})" : "");
        }
    }
}
