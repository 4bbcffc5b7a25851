using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.IR.Intrinsics;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>
/// The CUDA instructions of the tensor-core kernels (sm_80). Their bodies run on ILGPU's CPU accelerator alone and act lane by lane as the instruction does, so that kernels can be checked
/// without a GPU; there is no OpenCL form.
/// </summary>
internal static class TensorOps
{
    // what the lanes of a group show each other; groups that run at once are those of a cluster
    private static readonly U4[] Shown = new U4[2048];
    private static readonly U2[] ShownB = new U2[2048];

    private static int Place => (Grid.IdxX & 15) * Group.DimX + Group.IdxX;

    /// <summary>Starts a copy of 16 bytes to shared memory that bypasses L1; zeros are written instead when <paramref name="bytes"/> is 0.</summary>
    [IntrinsicImplementation, PtxOp("cp.async.cg.shared.global.L2::128B [$s0], [$g1], 16, $2;")]
    public static void CopyAsync(ref U4 shared, ref U4 global, int bytes) => shared = bytes == 0 ? default : global;

    /// <summary>As <see cref="CopyAsync(ref U4, ref U4, int)"/>, with a word about L2.</summary>
    [IntrinsicImplementation, PtxOp("cp.async.cg.shared.global.L2::cache_hint.L2::128B [$s0], [$g1], 16, $2, $3;")]
    public static void CopyAsync(ref U4 shared, ref U4 global, int bytes, ulong policy) => shared = bytes == 0 ? default : global;

    /// <summary>Starts a copy of 16 bytes to byte <paramref name="at"/> of <paramref name="memory"/>, in shared memory; as the one before otherwise.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .b32 at; add.s32 at, $s0, $1; cp.async.cg.shared.global.L2::128B [at], [$g2], 16, $3; }")]
    public static void CopyAsync(ref U4 memory, int at, ref U4 global, int bytes) => Unsafe.AddByteOffset(ref memory, at) = bytes == 0 ? default : global;

    /// <summary>Starts a copy of 4 bytes to shared memory; zero when <paramref name="bytes"/> is 0.</summary>
    [IntrinsicImplementation, PtxOp("cp.async.ca.shared.global [$s0], [$g1], 4, $2;")]
    public static void CopyAsync(ref float shared, ref float global, int bytes) => shared = bytes == 0 ? 0f : global;

    /// <summary>Ends a group of copies, an empty one too.</summary>
    [IntrinsicImplementation, PtxOp("cp.async.commit_group;")]
    public static void Commit() { }

    /// <summary>Waits until at most <paramref name="pending"/> (a constant) of this thread's newest groups are unfinished.</summary>
    [IntrinsicImplementation, PtxOp("cp.async.wait_group $0;")]
    public static void WaitGroup(int pending) { }

    /// <summary>Orders shared memory between the lanes of a warp.</summary>
    [IntrinsicImplementation, PtxOp("bar.warp.sync 0xffffffff;")]
    public static void WarpSync() => Warp.Barrier();

    /// <summary>Four 8×8 matrices of 16-bit numbers: lane l names row l mod 8 of matrix l / 8, and gets columns 2(l mod 4) and +1 of row l / 4 of each.</summary>
    [IntrinsicImplementation, PtxOp("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {$r.0, $r.1, $r.2, $r.3}, [$s0];")]
    public static U4 LoadMatrix(ref U4 row)
    {
        var all = Show(row);
        int lane = Group.IdxX & 31, warp = Place - lane, g = lane >> 2, t = lane & 3;
        U4 result;
        result.X = Word(all[warp + g], t);
        result.Y = Word(all[warp + 8 + g], t);
        result.Z = Word(all[warp + 16 + g], t);
        result.W = Word(all[warp + 24 + g], t);
        Warp.Barrier();
        return result;
    }

    /// <summary>As <see cref="LoadMatrix(ref U4)"/>; the row begins at byte <paramref name="at"/> of <paramref name="memory"/>, so that constant distances become part of the instruction.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .b32 at; add.s32 at, $s0, $1; ldmatrix.sync.aligned.m8n8.x4.shared.b16 {$r.0, $r.1, $r.2, $r.3}, [at]; }")]
    public static U4 LoadMatrix(ref U4 memory, int at) => LoadMatrix(ref Unsafe.AddByteOffset(ref memory, at));

    /// <summary>As <see cref="LoadMatrix(ref U4)"/>, each matrix transposed.</summary>
    [IntrinsicImplementation, PtxOp("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {$r.0, $r.1, $r.2, $r.3}, [$s0];")]
    public static U4 LoadMatrixTransposed(ref U4 row)
    {
        var all = Show(row);
        int lane = Group.IdxX & 31, warp = Place - lane, g = lane >> 2, t = lane & 3;
        U4 result;
        result.X = Column(all, warp, g, t);
        result.Y = Column(all, warp + 8, g, t);
        result.Z = Column(all, warp + 16, g, t);
        result.W = Column(all, warp + 24, g, t);
        Warp.Barrier();
        return result;
    }

    /// <summary>As <see cref="LoadMatrix(ref U4, int)"/>, each matrix transposed.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .b32 at; add.s32 at, $s0, $1; ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {$r.0, $r.1, $r.2, $r.3}, [at]; }")]
    public static U4 LoadMatrixTransposed(ref U4 memory, int at) => LoadMatrixTransposed(ref Unsafe.AddByteOffset(ref memory, at));

    /// <summary>Transposes an 8×8 matrix of 16-bit numbers that lies in the warp's registers: lane l holds columns 2(l mod 4) and +1 of row l / 4.</summary>
    [IntrinsicImplementation, PtxOp("movmatrix.sync.aligned.m8n8.trans.b16 $r, $0;")]
    public static uint Transpose(uint pair)
    {
        U4 shown = default;
        shown.X = pair;
        var all = Show(shown);
        int lane = Group.IdxX & 31, warp = Place - lane, g = lane >> 2, t = lane & 3;
        int half = (g & 1) * 16;
        uint low = all[warp + 8 * t + (g >> 1)].X >> half, high = all[warp + 8 * t + 4 + (g >> 1)].X >> half;
        Warp.Barrier();
        return (low & 0xffffu) | (high << 16);
    }

    /// <summary>C += A·B for half precision A [16, 16] and B [16, 8].</summary>
    [IntrinsicImplementation, PtxOp("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {$r.0, $r.1, $r.2, $r.3}, {$0.0, $0.1, $0.2, $0.3}, {$1.0, $1.1}, {$2.0, $2.1, $2.2, $2.3};")]
    public static F4 MultiplyHalf(U4 a, U2 b, F4 c) => Multiply(a, b, c, brain: false);

    /// <summary>C += A·B for bfloat16 A [16, 16] and B [16, 8].</summary>
    [IntrinsicImplementation, PtxOp("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {$r.0, $r.1, $r.2, $r.3}, {$0.0, $0.1, $0.2, $0.3}, {$1.0, $1.1}, {$2.0, $2.1, $2.2, $2.3};")]
    public static F4 MultiplyBrain(U4 a, U2 b, F4 c) => Multiply(a, b, c, brain: true);

    /// <summary>Two numbers rounded to half precision.</summary>
    [IntrinsicImplementation, PtxOp("cvt.rn.f16x2.f32 $r, $1, $0;")]
    public static uint PackHalf(float low, float high) => BitConverter.HalfToUInt16Bits((System.Half)low) | ((uint)BitConverter.HalfToUInt16Bits((System.Half)high) << 16);

    /// <summary>Two numbers rounded to bfloat16.</summary>
    [IntrinsicImplementation, PtxOp("cvt.rn.bf16x2.f32 $r, $1, $0;")]
    public static uint PackBrain(float low, float high) => KvBits.Brains(low, high);

    /// <summary>2^x to 2 ulp.</summary>
    [IntrinsicImplementation, PtxOp("ex2.approx.ftz.f32 $r, $0;")]
    public static float Exp2(float x) => MathF.Pow(2f, x);

    /// <summary>C += A·B for bytes A [16, 32], signed or not, and signed bytes B [32, 8], as a matrix instruction does: the CPU accelerator's form.</summary>
    internal static I4 MultiplyBytes(U4 a, U2 b, I4 c, bool signed)
    {
        Shown[Place] = a;
        ShownB[Place] = b;
        Warp.Barrier();
        int lane = Group.IdxX & 31, warp = Place - lane, g = lane >> 2, t = lane & 3;
        for (int k = 0; k < 4; k++)
        {
            U4 rows = Shown[warp + 4 * g + k];
            U2 left = ShownB[warp + 8 * t + k], right = ShownB[warp + 8 * t + 4 + k];
            c.X += Bytes(rows.X, left.X, signed) + Bytes(rows.Z, left.Y, signed);
            c.Y += Bytes(rows.X, right.X, signed) + Bytes(rows.Z, right.Y, signed);
            c.Z += Bytes(rows.Y, left.X, signed) + Bytes(rows.W, left.Y, signed);
            c.W += Bytes(rows.Y, right.X, signed) + Bytes(rows.W, right.Y, signed);
        }
        Warp.Barrier();
        return c;
    }

    private static int Bytes(uint a, uint b, bool signed)
    {
        int sum = 0;
        for (int i = 0; i < 32; i += 8) sum += (signed ? (sbyte)(a >> i) : (byte)(a >> i)) * (sbyte)(b >> i);
        return sum;
    }

    private static U4[] Show(U4 value)
    {
        Shown[Place] = value;
        Warp.Barrier();
        return Shown;
    }

    private static uint Word(U4 row, int index) => index switch { 0 => row.X, 1 => row.Y, 2 => row.Z, _ => row.W };

    private static uint Column(U4[] all, int first, int column, int pair)
    {
        int half = (column & 1) * 16;
        uint low = Word(all[first + 2 * pair], column >> 1) >> half, high = Word(all[first + 2 * pair + 1], column >> 1) >> half;
        return (low & 0xffffu) | (high << 16);
    }

    private static F4 Multiply(U4 a, U2 b, F4 c, bool brain)
    {
        Shown[Place] = a;
        ShownB[Place] = b;
        Warp.Barrier();
        int lane = Group.IdxX & 31, warp = Place - lane, g = lane >> 2, t = lane & 3;
        for (int k = 0; k < 16; k++)
        {
            float upper = Number(Word(Shown[warp + 4 * g + ((k & 7) >> 1)], (k >> 3) * 2), k & 1, brain);
            float lower = Number(Word(Shown[warp + 4 * g + ((k & 7) >> 1)], (k >> 3) * 2 + 1), k & 1, brain);
            var left = ShownB[warp + 8 * t + ((k & 7) >> 1)];
            var right = ShownB[warp + 8 * t + 4 + ((k & 7) >> 1)];
            float first = Number(k < 8 ? left.X : left.Y, k & 1, brain), second = Number(k < 8 ? right.X : right.Y, k & 1, brain);
            c.X += upper * first;
            c.Y += upper * second;
            c.Z += lower * first;
            c.W += lower * second;
        }
        Warp.Barrier();
        return c;
    }

    private static float Number(uint pair, int high, bool brain)
    {
        uint bits = high == 0 ? pair & 0xffffu : pair >> 16;
        return brain ? Ptx.BrainLow(bits) : (float)BitConverter.UInt16BitsToHalf((ushort)bits);
    }
}
