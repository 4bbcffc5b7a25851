using IlgpuSparse.Compute.Gpu.Kernels;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Fused;
using IlgpuSparse.Compute.Gpu.Kernels.Linear;
using IlgpuSparse.Compute.Gpu.Kernels.Offload;
using IlgpuSparse.Compute.Gpu.Kernels.Products;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>Every kernel variant that a launcher may load. Tests generate and check the code of all of them without a GPU.</summary>
internal static class KernelCatalog
{
    /// <summary>All variants; each kernel class lists its own.</summary>
    public static IEnumerable<KernelVariant> All =>
    [
        .. EmbedKernel.Variants,
        .. RmsNormKernel.Variants,
        .. MatVecKernel.Variants,
        .. MatMulKernel.Variants,
        .. LinearKernel.Variants,
        .. LinearRowKernel.Variants,
        .. RowStreamKernel.Variants,
        .. RowDigitKernel.Variants,
        .. TensorProductKernel.Variants,
        .. RowPlanesKernel.Variants,
        .. NormPlanesKernel.Variants,
        SplitSumKernel.Variant,
        RopeKernel.Variant,
        SwiGluKernel.Variant,
        ChannelSumKernel.Variant,
        AdvanceKernel.Variant,
        FeedBackKernel.Variant,
        SampleKernel.Variant,
        GreedyKernel.Variant,
        GreedyKernel.MergeVariant,
        ExpertRouteKernel.ChooseVariant,
        ExpertRouteKernel.ListVariant,
        ExpertRouteKernel.CombineVariant,
        .. AppendKvKernel.Variants,
        .. ValueSumKernel.Variants,
        ValuePrefixKernel.Variant,
        .. MeanValueKernel.Variants,
        .. TensorDecodeKernel.Variants,
        .. TensorInt8Kernel.Variants,
        .. F32DecodeKernel.Variants,
        .. TensorPrefillKernel.Variants,
        .. PortableAttentionKernel.Variants,
        PortableMergeKernel.Variant,
        .. LabelAppendKernel.Variants,
        .. LabelPrefillKernel.Variants,
        ProjectHeadsKernel.Variant,
        .. ScorePortableKernel.Variants,
        .. ScoreKernel.Variants,
        .. ResidentScoreKernel.Variants,
        .. FusedStepKernel.Variants,
        .. ResidentStepKernel.Variants,
        SelectPortableKernel.Variant,
        BinKernel.Variant,
        SetFilterKernel.Variant,
        HistogramKernel.Variant,
        PlaceKernel.Variant,
        MassSetKernel.Variant,
        MassFilterKernel.Variant,
        MassCandidateKernel.Variant,
        MassPortableKernel.Variant,
        CopyRowsKernel.Variant,
        CountRowsKernel.Variant,
        .. FetchKernel.Variants,
        KeepKernel.Variant,
        DropKernel.Variant,
        ReplayKernel.Variant,
    ];
}
