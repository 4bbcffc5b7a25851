namespace IlgpuSparse.Evaluation;

/// <summary>Which tokens go through the attention that is judged.</summary>
public enum EvaluationSetup
{
    /// <summary>The answer alone; the question is prefilled densely with the context, which flatters every method.</summary>
    A,
    /// <summary>Question and answer, one token at a time; the context is prefilled densely.</summary>
    B,
}
