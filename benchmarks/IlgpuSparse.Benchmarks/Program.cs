using BenchmarkDotNet.Running;
using IlgpuSparse.Benchmarks;

// --quick SUBJECT: the same ratios as the benchmark classes in seconds instead of minutes, without their statistics.
if (args is ["--quick", var subject])
{
    switch (subject)
    {
        case "linear": LinearQuickSuite.Run(); return 0;
        case "attention": AttentionQuickSuite.Run(); return 0;
        case "step": StepQuickSuite.Run(); return 0;
        default: Console.Error.WriteLine($"--quick knows linear, attention and step, not {subject}"); return 2;
    }
}
BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
return 0;
