namespace IlgpuSparse.Evaluation;

/// <summary>What an <see cref="EvaluationTask"/> asks.</summary>
public enum EvaluationKind
{
    /// <summary>The next tokens of a text: perplexity.</summary>
    Perplexity,
    /// <summary>Numbers out of a record of lines (<see cref="RetrievalText.Lines"/>).</summary>
    Lines,
    /// <summary>A number hidden in prose (<see cref="RetrievalText.PassKey"/>).</summary>
    PassKey,
    /// <summary>Numbers out of a record of lines, from a file of LongEval.</summary>
    LongEval,
}
