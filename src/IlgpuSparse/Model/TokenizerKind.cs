namespace IlgpuSparse.Model;

/// <summary>Kinds of tokenizer that model files carry.</summary>
public enum TokenizerKind
{
    /// <summary>SentencePiece BPE with scores and byte fallback (Llama 1 and 2, Mistral).</summary>
    SentencePiece,
    /// <summary>Byte-level BPE with merges (GPT-2, Llama 3, Qwen 2).</summary>
    ByteLevelBpe,
}
