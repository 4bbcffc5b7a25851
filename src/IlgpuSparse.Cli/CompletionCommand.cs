using System.CommandLine;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse completion</c>: what a shell needs to complete commands, options and their values.</summary>
internal static class CompletionCommand
{
    private static readonly Dictionary<string, string> s_scripts = new()
    {
        ["bash"] = """
            # ilgpusparse completion bash > ~/.local/share/bash-completion/completions/ilgpusparse
            _ilgpusparse() {
                local word=${COMP_WORDS[COMP_CWORD]} IFS=$'\n'
                COMPREPLY=($(compgen -W "$(ilgpusparse "[suggest:$COMP_POINT]" "$COMP_LINE" 2>/dev/null)" -- "$word"))
            }
            complete -o default -F _ilgpusparse ilgpusparse
            """,
        ["zsh"] = """
            # ilgpusparse completion zsh > a file _ilgpusparse in a directory of $fpath
            #compdef ilgpusparse
            _ilgpusparse() {
                local -a found
                found=("${(@f)$(ilgpusparse "[suggest:$CURSOR]" "$BUFFER" 2>/dev/null)}")
                compadd -a found || _files
            }
            compdef _ilgpusparse ilgpusparse
            """,
        ["fish"] = """
            # ilgpusparse completion fish > ~/.config/fish/completions/ilgpusparse.fish
            complete -c ilgpusparse -a '(set -l line (commandline -cp); ilgpusparse "[suggest:"(string length -- $line)"]" $line 2>/dev/null)'
            """,
        ["pwsh"] = """
            # ilgpusparse completion pwsh >> $PROFILE
            Register-ArgumentCompleter -Native -CommandName ilgpusparse -ScriptBlock {
                param($word, $line, $position)
                ilgpusparse "[suggest:$position]" "$line" 2>$null | Where-Object { $_ -like "$word*" } | ForEach-Object { [System.Management.Automation.CompletionResult]::new($_) }
            }
            """,
    };

    /// <summary>The command.</summary>
    public static Command Create()
    {
        var shell = new Argument<string>("shell") { Description = string.Join(", ", s_scripts.Keys) };
        shell.CompletionSources.Add([.. s_scripts.Keys]);
        shell.Validators.Add(result =>
        {
            string given = result.Tokens.Count > 0 ? result.Tokens[0].Value : "";
            if (!s_scripts.ContainsKey(given)) result.AddError($"no shell '{given}': there are {string.Join(", ", s_scripts.Keys)}");
        });
        var command = new Command("completion", "Prints a script that lets a shell complete commands, options and their values.") { shell };
        command.SetAction(arguments => Console.Out.WriteLine(s_scripts[arguments.GetValue(shell)!]));
        return command;
    }
}
