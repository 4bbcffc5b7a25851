using CsCheck;
using IlgpuSparse.Chat;

namespace IlgpuSparse.Tests.Chat;

public class StopMatcherTests
{
    [Fact]
    public void Finds_the_first_stop_wherever_the_text_is_cut() =>
        Gen.Select(Gen.String[Gen.Char["abc"], 0, 40], Gen.String[Gen.Char["abc"], 1, 4].Array[0, 3], Gen.Int[1, 5]).Sample((text, stops, step) =>
        {
            var matcher = new StopMatcher(stops);
            string result = "";
            for (int i = 0; i < text.Length; i += step) result += matcher.Append(text.Substring(i, Math.Min(step, text.Length - i)));
            result += matcher.Flush();
            int at = stops.Select(s => text.IndexOf(s, StringComparison.Ordinal)).Where(i => i >= 0).DefaultIfEmpty(-1).Min();
            // a stop that begins earlier may end in a later piece than one inside of it: the one complete first wins
            if (at < 0)
            {
                Assert.Null(matcher.Found);
                Assert.Equal(text, result);
            }
            else
            {
                Assert.NotNull(matcher.Found);
                Assert.Equal(text[..text.IndexOf(matcher.Found, StringComparison.Ordinal)], result);
            }
        }, iter: 2000);

    [Fact]
    public void Holds_back_no_more_than_could_be_a_stop()
    {
        var matcher = new StopMatcher(["<|end|>"]);
        Assert.Equal("hello ", matcher.Append("hello <|e"));
        Assert.Equal("<|ex", matcher.Append("x"));
        Assert.Equal("", matcher.Append("<|end|"));
        Assert.Equal("", matcher.Append(">more"));
        Assert.Equal("<|end|>", matcher.Found);
    }
}
