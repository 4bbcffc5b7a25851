namespace IlgpuSparse.Chat;

/// <summary>A chat template is not understood, or refuses the messages it was given.</summary>
public sealed class ChatTemplateException : Exception
{
    /// <summary>With a message for the user.</summary>
    public ChatTemplateException(string message, bool isRefusal = false) : base(message) => IsRefusal = isRefusal;

    /// <summary>Whether the template itself says that these messages cannot be (<c>raise_exception</c>): then it is the caller's fault, not the model's.</summary>
    public bool IsRefusal { get; }
}
