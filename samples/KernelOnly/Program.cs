// Attention of one decode step on arrays: no model, no tokenizer. K and V are [token, kvHead, headDim], q and the result [head, headDim].
using IlgpuSparse.Compute;

const int Tokens = 5000, Blocks = (Tokens + KvLayer.BlockTokens - 1) / KvLayer.BlockTokens;
var shape = new AttentionShape(Heads: 8, KvHeads: 2, HeadDim: 128);
float[] k = Noise(1, Tokens * shape.KvHeads * shape.HeadDim), v = Noise(2, k.Length), q = Noise(3, shape.Heads * shape.HeadDim);

using var backend = ComputeBackends.Create("auto");
using DeviceBuffer keys = Upload(k), values = Upload(v), query = Upload(q), result = backend.Allocate(q.Length * sizeof(float), "sample");
long bytes = (long)Blocks * KvLayer.BlockTokens * shape.KvHeads * shape.HeadDim * sizeof(ushort);
var cache = new KvLayer(KvFormat.F16, backend.Allocate(bytes, "kv"), backend.Allocate(bytes, "kv"));
using var batch = new StepBatch(backend, maxRows: Tokens, maxSequences: 1, maxBlocks: Blocks);
int[] blocks = [.. Enumerable.Range(0, Blocks)];
batch.SetPrefill(0, Tokens, blocks);
backend.AppendKv(shape, cache, batch, keys, values);   // into the cache, as fp16
batch.SetDecode([Tokens - 1], [blocks]);               // one query, at the last position
backend.Attend(shape, cache, batch, query, result);    // softmax(q·Kᵀ/√d)·V over all tokens
float[] dense = ((DeviceSpan)result).ToArray<float>(q.Length);

// The same over chosen tokens alone: here the last 500, one set for each kv head.
int[] chosen = [.. Enumerable.Range(Tokens - 500, 500)];
using var sets = new TokenSets(Upload([.. chosen, .. chosen]), Upload([500, 500]), shape.KvHeads, chosen.Length);
backend.AttendSelected(shape, cache, batch, query, sets, result);
float[] sparse = ((DeviceSpan)result).ToArray<float>(q.Length);

Console.WriteLine($"{backend.Name}: dense {dense[0]:0.00000} {dense[1]:0.00000} …, of the last 500 tokens {sparse[0]:0.00000} {sparse[1]:0.00000} …");
cache.K.Dispose();
cache.V.Dispose();
return;

DeviceBuffer Upload<T>(T[] array) where T : unmanaged
{
    var buffer = backend.Allocate((long)array.Length * sizeof(int), "sample");
    ((DeviceSpan)buffer).Upload<T>(array);
    return buffer;
}

static float[] Noise(int seed, int count)
{
    var random = new Random(seed);
    return [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() - 0.5f) * 2)];
}
