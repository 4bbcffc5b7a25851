using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.IR.Intrinsics;

namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>
/// Products of a warpgroup, four warps, with both operands in shared memory (<c>wgmma</c>, sm_90a). The sums, 64 rows by 256 outputs, lie in 128 registers of each lane that have names of their own (<see cref="Declare"/>): products are under way
/// while the code goes on, and a register that ILGPU copied meanwhile would stop them.
/// </summary>
/// <remarks>
/// An operand's rows are slices of 64 inputs, 128 bytes one after the other; unit u of 16 bytes of row r lies at u ⊕ (r mod 8), which is the hardware's swizzle over 128 bytes where the first row lies at a multiple of 1024. As in fragments of
/// <c>mma</c> a lane has outputs 8j + 2t and + 1 of rows 16w + g and + 8 in sums 4j to 4j + 3 (warp w, lane 4g + t). The bodies run on ILGPU's CPU accelerator, on which a lane is a thread: they read the operands as the instruction does.
/// </remarks>
internal static class WarpgroupOps
{
    /// <summary>Fragments of 8 outputs.</summary>
    public const int Fragments = 32;

    private const string Sums =
        "acc0, acc1, acc2, acc3, acc4, acc5, acc6, acc7, acc8, acc9, acc10, acc11, acc12, acc13, acc14, acc15, " +
        "acc16, acc17, acc18, acc19, acc20, acc21, acc22, acc23, acc24, acc25, acc26, acc27, acc28, acc29, acc30, acc31, " +
        "acc32, acc33, acc34, acc35, acc36, acc37, acc38, acc39, acc40, acc41, acc42, acc43, acc44, acc45, acc46, acc47, " +
        "acc48, acc49, acc50, acc51, acc52, acc53, acc54, acc55, acc56, acc57, acc58, acc59, acc60, acc61, acc62, acc63, " +
        "acc64, acc65, acc66, acc67, acc68, acc69, acc70, acc71, acc72, acc73, acc74, acc75, acc76, acc77, acc78, acc79, " +
        "acc80, acc81, acc82, acc83, acc84, acc85, acc86, acc87, acc88, acc89, acc90, acc91, acc92, acc93, acc94, acc95, " +
        "acc96, acc97, acc98, acc99, acc100, acc101, acc102, acc103, acc104, acc105, acc106, acc107, acc108, acc109, acc110, acc111, " +
        "acc112, acc113, acc114, acc115, acc116, acc117, acc118, acc119, acc120, acc121, acc122, acc123, acc124, acc125, acc126, acc127";

    // addresses without their lowest four bits; eight rows lie 1024 bytes apart, the swizzle is that over 128 bytes
    private const string Begin =
        "{ .reg .b32 xa, wa; .reg .b64 xd, wd; .reg .pred adds; " +
        "add.s32 xa, $s0, $1; shr.u32 xa, xa, 4; cvt.u64.u32 xd, xa; or.b64 xd, xd, 0x4000004000010000; " +
        "add.s32 wa, $s0, $2; shr.u32 wa, wa, 4; cvt.u64.u32 wd, wa; or.b64 wd, wd, 0x4000004000010000; " +
        "setp.eq.s32 adds, 0, 0; wgmma.fence.sync.aligned; ";

    private const string Half = "wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 {" + Sums + "}, xd, wd, adds, 1, 1, 0, 0; ";
    private const string Brain = "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" + Sums + "}, xd, wd, adds, 1, 1, 0, 0; ";
    private const string Next = "add.s64 xd, xd, 2; add.s64 wd, wd, 2; ", End = "wgmma.commit_group.sync.aligned; }";

    [ThreadStatic]
    private static float[]? t_sums;

    /// <summary>The text of a kernel with these instructions: a target of its own, and slots in shared memory where the swizzle wants them.</summary>
    public static string Complete(string ptx) => ptx
        .Replace(".target sm_90", ".target sm_90a", StringComparison.Ordinal)
        .Replace(".extern .shared .align 16 .b8", ".extern .shared .align 1024 .b8", StringComparison.Ordinal);

    /// <summary>Gives the sums their registers: before anything else of the kernel.</summary>
    [IntrinsicImplementation, PtxOp(".reg .f32 acc<128>;")]
    public static void Declare() => t_sums = new float[4 * Fragments];

    /// <summary>Sets the sums to zero. Without it, and products that begin anew instead, the compiler would take the registers for written between products and have each wait for the one before.</summary>
    public static void Clear()
    {
        for (int j = 0; j < Fragments; j++) Clear(4 * j, 4 * j + 1, 4 * j + 2, 4 * j + 3);
    }

    /// <summary>Has the tensor cores see what this thread's finished copies and stores have written to shared memory; a barrier has to follow before others' are used.</summary>
    [IntrinsicImplementation, PtxOp("fence.proxy.async.shared::cta;")]
    public static void ShowToProducts() { }

    /// <summary>
    /// Starts the sums += x · Wᵀ of one slice of half-precision numbers: 64 rows of x from byte <paramref name="x"/> of <paramref name="memory"/> on, 256 of W from byte <paramref name="w"/> on.
    /// </summary>
    [IntrinsicImplementation, PtxOp(Begin + Half + Next + Half + Next + Half + Next + Half + End)]
    public static void MultiplyHalf(ref U4 memory, int x, int w) => Multiply(ref memory, x, w, brain: false);

    /// <summary>As <see cref="MultiplyHalf"/>, of bfloat16 numbers.</summary>
    [IntrinsicImplementation, PtxOp(Begin + Brain + Next + Brain + Next + Brain + Next + Brain + End)]
    public static void MultiplyBrain(ref U4 memory, int x, int w) => Multiply(ref memory, x, w, brain: true);

    /// <summary>Waits until at most <paramref name="pending"/> (a constant) of this warpgroup's newest slices are unfinished.</summary>
    [IntrinsicImplementation, PtxOp("wgmma.wait_group.sync.aligned $0;")]
    public static void WaitProducts(int pending) { }

    /// <summary>The sums of fragment <paramref name="fragment"/>, a constant once loops are unrolled.</summary>
    public static F4 Sum(int fragment) => Sum(4 * fragment, 4 * fragment + 1, 4 * fragment + 2, 4 * fragment + 3);

    [IntrinsicImplementation, PtxOp("mov.f32 acc$0, 0f00000000; mov.f32 acc$1, 0f00000000; mov.f32 acc$2, 0f00000000; mov.f32 acc$3, 0f00000000;")]
    private static void Clear(int first, int second, int third, int fourth) => t_sums![first] = t_sums[second] = t_sums[third] = t_sums[fourth] = 0f;

    [IntrinsicImplementation, PtxOp("mov.f32 $r.0, acc$0; mov.f32 $r.1, acc$1; mov.f32 $r.2, acc$2; mov.f32 $r.3, acc$3;")]
    private static F4 Sum(int first, int second, int third, int fourth)
    {
        F4 result;
        result.X = t_sums![first];
        result.Y = t_sums[second];
        result.Z = t_sums[third];
        result.W = t_sums[fourth];
        return result;
    }

    private static void Multiply(ref U4 memory, int x, int w, bool brain)
    {
        float[] sums = t_sums!;
        int lane = Group.IdxX & 31, row = 16 * ((Group.IdxX >> 5) & 3) + (lane >> 2), column = 2 * (lane & 3);
        for (int k = 0; k < 64; k++)
        {
            float upper = Number(ref memory, x, row, k, brain), lower = Number(ref memory, x, row + 8, k, brain);
            for (int j = 0; j < Fragments; j++)
            {
                float first = Number(ref memory, w, 8 * j + column, k, brain), second = Number(ref memory, w, 8 * j + column + 1, k, brain);
                sums[4 * j] += upper * first;
                sums[4 * j + 1] += upper * second;
                sums[4 * j + 2] += lower * first;
                sums[4 * j + 3] += lower * second;
            }
        }
    }

    // the hardware exchanges bits of the address itself, whichever row it thinks to read
    private static float Number(ref U4 memory, int at, int row, int k, bool brain)
    {
        int address = at + (row >> 3) * 1024 + (row & 7) * 128 + 2 * k;
        address ^= (address >> 3) & 0x70;
        ushort bits = Unsafe.As<U4, ushort>(ref Unsafe.AddByteOffset(ref memory, address));
        return brain ? Ptx.BrainLow(bits) : (float)BitConverter.UInt16BitsToHalf(bits);
    }
}
