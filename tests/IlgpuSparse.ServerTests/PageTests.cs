using System.Globalization;
using Microsoft.Playwright;

namespace IlgpuSparse.ServerTests;

/// <summary>The page in a real browser: Chromium, where it is installed.</summary>
public class PageTests(ServerFixture server)
{
    private static readonly string? s_chromium = new[] { "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome" }.FirstOrDefault(File.Exists);

    private static string Novel(int characters) => File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "models", "prompt.txt"))[..characters];

    [Fact]
    public async Task A_text_is_continued_watched_compared_and_stopped()
    {
        Assert.SkipWhen(s_chromium is null, "no Chromium is installed");
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await playwright.Chromium.LaunchAsync(new BrowserTypeLaunchOptions { ExecutablePath = s_chromium, Args = ["--no-sandbox"] });
        var page = await browser.NewPageAsync(new BrowserNewPageOptions { ViewportSize = new ViewportSize { Width = 1400, Height = 1000 } });
        var errors = new List<string>();
        page.Console += (_, message) =>
        {
            if (message.Type == "error") errors.Add(message.Text);
        };
        page.PageError += (_, error) => errors.Add(error);
        await page.GotoAsync(server.Address.ToString());
        await page.GetByText("books-16m").WaitForAsync();

        // type, and watch the answer come: with what was read for each layer and head
        await page.GetByLabel("Your text").FillAsync(Novel(6000));
        await page.GetByText("Settings").ClickAsync();
        await page.GetByLabel("most tokens").FillAsync("6");
        await page.GetByLabel("dense beside sparse").CheckAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Send" }).ClickAsync();
        await page.Locator("#conversation .assistant").WaitForAsync(new() { Timeout = 60_000 });
        Assert.Equal(2, await page.Locator(".panel").CountAsync());
        double Percent(string text) => double.Parse(text.TrimEnd('%', ' '), CultureInfo.InvariantCulture);
        string[] density = [.. await page.Locator(".density").AllTextContentsAsync()], mass = [.. await page.Locator(".mass").AllTextContentsAsync()];
        Assert.InRange(Percent(density[0]), 1, 30);
        Assert.Equal("100.0 %", density[1]);
        Assert.InRange(Percent(mass[0]), 20, 99.9);
        Assert.Equal("100.0 %", mass[1]);
        string answer = (await page.Locator(".panel .answer").First.TextContentAsync())!;
        Assert.NotEmpty(answer);
        Assert.Equal(answer, await page.Locator("#conversation .assistant").TextContentAsync());
        // the picture is drawn: more than one colour
        int colours = await page.EvaluateAsync<int>("() => { const c = document.querySelector('canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; return new Set(Array.from({length: d.length / 4}, (_, i) => d[4 * i] << 16 | d[4 * i + 1] << 8 | d[4 * i + 2])).size; }");
        Assert.InRange(colours, 20, 10_000);
        await page.Locator("canvas").First.HoverAsync();
        Assert.Contains("of the attention", await page.Locator(".hover").First.TextContentAsync(), StringComparison.Ordinal);
        if (Environment.GetEnvironmentVariable("PAGE_SCREENSHOT") is { } file) await page.ScreenshotAsync(new PageScreenshotOptions { Path = file, FullPage = true });

        // a long answer is stopped, and the engine with it
        await page.GetByLabel("dense beside sparse").UncheckAsync();
        await page.GetByLabel("show what is read").UncheckAsync();
        await page.GetByLabel("most tokens").FillAsync("5000");
        await page.GetByLabel("Your text").FillAsync("And then");
        await page.GetByRole(AriaRole.Button, new() { Name = "Send" }).ClickAsync();
        await page.Locator(".panel .answer").Filter(new() { HasTextRegex = new("\\w+ \\w+ \\w+") }).WaitForAsync(new() { Timeout = 60_000 });
        await page.GetByRole(AriaRole.Button, new() { Name = "Stop" }).ClickAsync();
        for (int i = 0; i < 6000 && server.Model.Engine.Status.Active > 0; i++) await Task.Delay(20);
        Assert.Equal(0, server.Model.Engine.Status.Active);
        Assert.True(await page.GetByRole(AriaRole.Button, new() { Name = "Send" }).IsEnabledAsync());

        // what goes wrong is said
        await page.GetByLabel("Your text").FillAsync(string.Concat(Enumerable.Repeat("word after word ", 9000)));
        await page.GetByRole(AriaRole.Button, new() { Name = "Send" }).ClickAsync();
        await page.GetByText("does not fit the context").WaitForAsync();
        Assert.DoesNotContain(errors, e => !e.Contains("400", StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_page_is_usable_by_keyboard_and_named_for_readers()
    {
        Assert.SkipWhen(s_chromium is null, "no Chromium is installed");
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await playwright.Chromium.LaunchAsync(new BrowserTypeLaunchOptions { ExecutablePath = s_chromium, Args = ["--no-sandbox"] });
        var page = await browser.NewPageAsync();
        await page.GotoAsync(server.Address.ToString());
        await page.GetByLabel("Your text").FocusAsync();
        await page.Keyboard.TypeAsync("Once upon a time");
        await page.Keyboard.PressAsync("Control+Enter");
        await page.Locator("#conversation .assistant").WaitForAsync(new() { Timeout = 60_000 });
        int unnamed = await page.EvaluateAsync<int>("() => [...document.querySelectorAll('input, textarea, button, canvas')].filter(e => !(e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label'))).length");
        Assert.Equal(0, unnamed);
        // on a phone nothing is wider than the screen
        await page.SetViewportSizeAsync(390, 844);
        Assert.InRange(await page.EvaluateAsync<int>("() => document.documentElement.scrollWidth"), 300, 390);
        Assert.Equal("en", await page.EvaluateAsync<string>("() => document.documentElement.lang"));
    }
}
