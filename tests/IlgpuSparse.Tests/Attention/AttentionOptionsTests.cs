using IlgpuSparse.Attention;
using IlgpuSparse.Compute;

namespace IlgpuSparse.Tests.Attention;

public class AttentionOptionsTests
{
    [Theory]
    [InlineData("dense")]
    [InlineData("double-sparsity:tokens=1/16,channels=64,bits=2")]
    [InlineData("double-sparsity:tokens=512,channels=32,bits=4,scaling=token,sets=head,reduce=sum,sinks=4,window=64,dense-layers=2,dense-below=1024")]
    [InlineData("double-sparsity:tokens=1/16,channels=64,bits=2,top-p=0.95,min-tokens=64,mean-value=on")]
    [InlineData("double-sparsity:tokens=3/100,channels=8,bits=16")]
    [InlineData("double-sparsity:tokens=1/16,channels=8,bits=16,order=random")]
    [InlineData("double-sparsity:tokens=1/64,label=rotated,label-bits=64,temperature=1.5,mean-value=on,budgets=head")]
    [InlineData("double-sparsity:tokens=1/16,label=mixed,label-bits=128")]
    [InlineData("oracle:tokens=1/64")]
    [InlineData("oracle:tokens=1/8,top-p=0.95,sets=group,reduce=sum")]
    [InlineData("streaming:tokens=1/16,sinks=8")]
    [InlineData("quest:tokens=256,page=8,dense-layers=2")]
    [InlineData("sparq:tokens=1/16,r=16,mean-value=off")]
    [InlineData("streaming:tokens=1/16,positions=cache")]
    [InlineData("h2o:tokens=1/64,sets=head")]
    [InlineData("loki:tokens=1/16,r=16,components=some/file.json")]
    [InlineData("double-sparsity-published:tokens=1/16,channels=32,bits=4,dense-layers=2,map=maps/published.json")]
    [InlineData("double-sparsity:tokens=1/16,channels=64,bits=2,map=other.channels.json")]
    [InlineData("double-sparsity:tokens=1/16,label=mixed,label-bits=128,map=online")]
    [InlineData("double-sparsity:tokens=1/16,channels=64,bits=2,map=online,drift=0.35")]
    [InlineData("double-sparsity:tokens=1/16,channels=64,bits=2,map=online,drift=off")]
    [InlineData("double-sparsity:tokens=1/16,label=mixed,label-bits=64,map=online,prior=some.channels.json")]
    public void The_string_form_survives_a_round_trip(string text) => Assert.Equal(text, AttentionOptions.Parse(text).ToString());

    [Fact]
    public void Defaults_are_128_bits_and_a_sixteenth()
    {
        var options = AttentionOptions.Parse("double-sparsity");
        Assert.Equal(128, options.Channels * options.LabelFormat.Bits());
        Assert.Equal(512, options.Rule.Budget(8192));
    }

    [Theory]
    [InlineData("")]
    [InlineData("full")]
    [InlineData("dense:tokens=1")]
    [InlineData("double-sparsity:drift=0.3")]
    [InlineData("double-sparsity:map=maps/one.json,drift=0.3")]
    [InlineData("double-sparsity:map=online,drift=2")]
    [InlineData("double-sparsity:map=")]
    [InlineData("double-sparsity:prior=some.channels.json")]
    [InlineData("double-sparsity-published:map=online")]
    [InlineData("double-sparsity:tokens=0")]
    [InlineData("double-sparsity:tokens=2/1")]
    [InlineData("double-sparsity:tokens=-3")]
    [InlineData("double-sparsity:tokens")]
    [InlineData("double-sparsity:bits=3")]
    [InlineData("double-sparsity:channels=0")]
    [InlineData("double-sparsity:window=0")]
    [InlineData("double-sparsity:top-p=0")]
    [InlineData("double-sparsity:top-p=1.5")]
    [InlineData("double-sparsity:top-p=half")]
    [InlineData("double-sparsity:min-tokens=0")]
    [InlineData("double-sparsity:tokens=100,min-tokens=101")]
    [InlineData("double-sparsity:colour=red")]
    [InlineData("double-sparsity:label=rotated,label-bits=129")]
    [InlineData("double-sparsity:label=rotated,channels=64")]
    [InlineData("double-sparsity:label=mixed,order=random")]
    [InlineData("double-sparsity:label-bits=64")]
    [InlineData("double-sparsity:temperature=0")]
    [InlineData("double-sparsity:budgets=mine")]
    [InlineData("oracle:bits=2")]
    [InlineData("quest:page=0")]
    [InlineData("streaming:window=4")]
    [InlineData("sparq:r=0")]
    [InlineData("streaming:positions=here")]
    [InlineData("h2o:r=3")]
    [InlineData("loki:components=")]
    [InlineData("quest:map=file")]
    [InlineData("double-sparsity:scaling=log")]
    public void Nonsense_is_refused_with_what_there_is(string text) => Assert.NotEmpty(Assert.Throws<FormatException>(() => AttentionOptions.Parse(text)).Message);

    [Fact]
    public void A_mass_has_a_cap_and_a_floor()
    {
        var rule = AttentionOptions.Parse("double-sparsity:top-p=0.95,tokens=1/16,min-tokens=64,sinks=4,window=16").Rule;
        Assert.Equal((512, 64), (rule.Budget(8192), rule.Least(8192)));
        Assert.Equal((64, 64), (rule.Budget(100), rule.Least(100)));
        Assert.Equal((30, 30), (rule.Budget(30), rule.Least(30)));
        Assert.Equal((512, 20), ((rule with { Floor = 0 }).Budget(8192), (rule with { Floor = 0 }).Least(8192)));
        Assert.Equal(512, (rule with { TopP = 1 }).Least(8192));
    }

    [Theory]
    [InlineData(1, 16, 1, 0, 1, 1, 1)]
    [InlineData(1, 16, 1, 0, 1, 17, 2)]
    [InlineData(1, 16, 1, 4, 64, 100, 68)]
    [InlineData(1, 16, 1, 4, 64, 50, 50)]
    [InlineData(0, 1, 300, 0, 1, 200, 200)]
    [InlineData(0, 1, 300, 0, 1, 2000, 300)]
    [InlineData(1, 1, 1, 0, 1, 999, 999)]
    [InlineData(1, 3, 1, 0, 1, int.MaxValue, 715827883)]
    public void Budgets_round_up_and_never_exceed_what_is_visible(int n, int d, int least, int sinks, int recent, int visible, int budget) =>
        Assert.Equal(budget, new SelectionRule(n, d, least, sinks, recent).Budget(visible));
}
