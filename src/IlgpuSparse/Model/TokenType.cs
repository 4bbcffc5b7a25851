namespace IlgpuSparse.Model;

/// <summary>Token types as GGUF numbers them.</summary>
internal enum TokenType
{
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}
