using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.IR.Intrinsics;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>The CUDA instructions of <see cref="LinearKernel"/> that other kernels do not have. Their bodies run on ILGPU's CPU accelerator alone.</summary>
internal static unsafe class LinearOps
{
    /// <summary>Starts a copy of 16 bytes at a device address to shared memory, past L1 and with a word about L2; zeros are written instead when <paramref name="bytes"/> is 0.</summary>
    [IntrinsicImplementation, PtxOp("cp.async.cg.shared.global.L2::cache_hint.L2::128B [$s0], [$1], 16, $2, $3;")]
    public static void CopyOnce(ref U4 shared, long address, int bytes, ulong policy) => shared = bytes == 0 ? default : *(U4*)address;

    /// <summary>As <see cref="CopyOnce(ref U4, long, int, ulong)"/> to byte <paramref name="at"/> of <paramref name="memory"/>, so that constant distances become part of the instruction.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .b32 at; add.s32 at, $s0, $1; cp.async.cg.shared.global.L2::cache_hint.L2::128B [at], [$2], 16, $3, $4; }")]
    public static void CopyOnce(ref U4 memory, int at, long address, int bytes, ulong policy) => Unsafe.AddByteOffset(ref memory, at) = bytes == 0 ? default : *(U4*)address;

    /// <summary>As <see cref="CopyOnce(ref U4, int, long, int, ulong)"/>, always copied, of lines of which other lanes or instructions ask for the rest.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .b32 at; add.s32 at, $s0, $1; cp.async.cg.shared.global.L2::cache_hint.L2::128B [at], [$2], 16, $3; }")]
    public static void CopyOnce(ref U4 memory, int at, long address, ulong policy) => Unsafe.AddByteOffset(ref memory, at) = *(U4*)address;

    /// <summary>16 bytes from byte <paramref name="at"/> of <paramref name="memory"/>, in shared memory; constant distances become part of the instruction.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .b32 at; add.s32 at, $s0, $1; ld.shared.v4.b32 {$r.0, $r.1, $r.2, $r.3}, [at]; }")]
    public static U4 Load(ref U4 memory, int at) => Unsafe.AddByteOffset(ref memory, at);

    /// <inheritdoc cref="Load(ref U4, int)"/>
    [IntrinsicImplementation, PtxOp("{ .reg .b32 at; add.s32 at, $s0, $1; ld.shared.v2.b32 {$r.0, $r.1}, [at]; }")]
    public static U2 Load(ref U2 memory, int at) => Unsafe.AddByteOffset(ref memory, at);

    /// <inheritdoc cref="Load(ref U4, int)"/>
    [IntrinsicImplementation, PtxOp("{ .reg .b32 at; add.s32 at, $s0, $1; ld.shared.b32 $r, [at]; }")]
    public static uint Load(ref uint memory, int at) => Unsafe.AddByteOffset(ref memory, at);

    /// <inheritdoc cref="Load(ref U4, int)"/>
    [IntrinsicImplementation, PtxOp("{ .reg .b32 at; .reg .b16 lh; add.s32 at, $s0, $1; ld.shared.b16 lh, [at]; cvt.u32.u16 $r, lh; }")]
    public static uint Load(ref ushort memory, int at) => Unsafe.AddByteOffset(ref memory, at);

    /// <summary>Loads 16 bytes at a device address that nothing reads again, past L1 and with a word about L2; zeros when <paramref name="wanted"/> is 0.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .pred lw; setp.ne.b32 lw, $1, 0; mov.b32 $r.0, 0; mov.b32 $r.1, 0; mov.b32 $r.2, 0; mov.b32 $r.3, 0; @lw ld.global.nc.L1::no_allocate.L2::cache_hint.v4.b32 {$r.0, $r.1, $r.2, $r.3}, [$0], $2; }")]
    public static U4 LoadOnce(long address, int wanted, ulong policy) => wanted == 0 ? default : *(U4*)address;

    /// <summary>Adds to a number in memory, where it lies.</summary>
    [IntrinsicImplementation, PtxOp("red.global.add.f32 [$g0], $1;")]
    public static void Add(ref float target, float value) => target += value;

    /// <summary>Four bytes of the eight of <paramref name="low"/> and <paramref name="high"/>: hexadecimal digit i of <paramref name="selector"/> chooses byte i.</summary>
    [IntrinsicImplementation, PtxOp("prmt.b32 $r, $0, $1, $2;")]
    public static uint Permute(uint low, uint high, uint selector)
    {
        ulong bytes = low | (ulong)high << 32;
        uint result = 0;
        for (int i = 0; i < 4; i++) result |= (uint)(bytes >> (int)((selector >> (4 * i) & 7) * 8) & 255) << (8 * i);
        return result;
    }

    /// <summary>The larger of <paramref name="largest"/> and the size of <paramref name="x"/>; what is no number wins.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .f32 size; abs.f32 size, $1; max.NaN.f32 $r, $0, size; }")]
    public static float Larger(float largest, float x) => MathF.Max(largest, MathF.Abs(x));

    /// <summary>The largest of the warp, in every lane.</summary>
    [IntrinsicImplementation, PtxOp("redux.sync.max.u32 $r, $0, 0xffffffff;")]
    public static uint WarpMax(uint value)
    {
        for (int distance = 16; distance > 0; distance >>= 1) value = Math.Max(value, Warp.ShuffleXor(value, distance));
        return value;
    }

    /// <summary>The differences of two pairs of halves. Through registers, because instructions on halves take no constants and an operand may become one.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .b32 ha, hb; mov.b32 ha, $0; mov.b32 hb, $1; sub.rn.f16x2 $r, ha, hb; }")]
    public static uint SubtractHalves(uint a, uint b) =>
        BitConverter.HalfToUInt16Bits(BitConverter.UInt16BitsToHalf((ushort)a) - BitConverter.UInt16BitsToHalf((ushort)b))
        | (uint)BitConverter.HalfToUInt16Bits(BitConverter.UInt16BitsToHalf((ushort)(a >> 16)) - BitConverter.UInt16BitsToHalf((ushort)(b >> 16))) << 16;

    /// <summary>
    /// Bytes 0 and 1 of <paramref name="codes"/> as halves, less a bias: 0x6400 + b is the half 1024 + b, and <paramref name="bias"/> is a pair of halves 1024 + offset. Exact.
    /// </summary>
    public static uint LowHalves(uint codes, uint bias) => SubtractHalves(Permute(codes, 0x64646464u, 0x4140u), bias);

    /// <summary>As <see cref="LowHalves"/> for bytes 2 and 3.</summary>
    public static uint HighHalves(uint codes, uint bias) => SubtractHalves(Permute(codes, 0x64646464u, 0x4342u), bias);

    /// <summary>Four and four unsigned bytes as halves, less a bias.</summary>
    public static U4 Halves(uint first, uint second, uint bias)
    {
        U4 result;
        result.X = LowHalves(first, bias);
        result.Y = HighHalves(first, bias);
        result.Z = LowHalves(second, bias);
        result.W = HighHalves(second, bias);
        return result;
    }

    /// <summary>What a half has too much that <see cref="Nibbles(uint, uint, int)"/> makes of a nibble: 0x4c00 + 64 n is the half 16 + n, at two instructions for two numbers.</summary>
    public const float NibbleBias = 16f;

    /// <summary>The low nibbles of bytes 0, 2 and 1, 3, then the high ones, less <paramref name="bias"/>: a pair of halves <see cref="NibbleBias"/> + offset. Exact.</summary>
    public static U4 Nibbles(uint codes, uint bias)
    {
        U4 result;
        result.X = SubtractHalves(Nibble(codes << 6), bias);
        result.Y = SubtractHalves(Nibble(codes >> 2), bias);
        result.Z = SubtractHalves(Nibble(codes << 2), bias);
        result.W = SubtractHalves(Nibble(codes >> 6), bias);
        return result;
    }

    /// <summary>The low nibbles (or the <paramref name="high"/> ones) of bytes 0, 2 and 1, 3 of both words.</summary>
    public static U4 Nibbles(uint first, uint second, int high)
    {
        int left = 6 - 4 * high, right = 2 + 4 * high;
        U4 result;
        result.X = Nibble(first << left);
        result.Y = Nibble(first >> right);
        result.Z = Nibble(second << left);
        result.W = Nibble(second >> right);
        return result;
    }

    private static uint Nibble(uint shifted) => (shifted & 0x03c003c0u) | 0x4c004c00u;
}
