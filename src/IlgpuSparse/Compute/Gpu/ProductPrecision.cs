namespace IlgpuSparse.Compute.Gpu;

/// <summary>What tensor cores make of fp32 activations, and of quantised weights, in products of many rows and in prefill attention. Sums are fp32 in any case, and so are products with F32 weights.</summary>
public enum ProductPrecision
{
    /// <summary>Rounded to the 16 bits of the weights' format (half precision for quantised ones), as is usual for models stored in 16 bits.</summary>
    Half,
    /// <summary>Split into a rounded number and the rounded rest, multiplied one after the other: as accurate as fp32, in two to three times the time.</summary>
    Single,
}
