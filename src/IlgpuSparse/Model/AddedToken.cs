namespace IlgpuSparse.Model;

/// <summary>An entry of <c>added_tokens</c> in a Hugging Face tokenizer: matched in the text before the algorithm runs.</summary>
internal sealed record AddedToken(string Text, int Id, bool Special);
