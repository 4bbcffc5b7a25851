// Opens packages as those who get them do: metadata, README, licence, documentation, and whether a debugger finds the sources of what is in them.   dotnet run check-packages.cs -- COMMIT README PACKAGE...
using System.IO.Compression;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using System.Text.Json;
using System.Xml.Linq;

Guid sourceLinkKind = new("CC110556-A091-4D38-9FEC-25AB9A351A6A"), embeddedSourceKind = new("0E8A571B-6926-466E-B4AD-8AB04611F5FE");
string commit = args[0], readme = File.ReadAllText(args[1]);
int faults = 0;
foreach (string path in args[2..]) Check(path);
return faults == 0 ? 0 : 1;

void Check(string path)
{
    string name = Path.GetFileName(path);
    void Expect(bool holds, string what)
    {
        if (holds) return;
        faults++;
        Console.Error.WriteLine($"{name}: {what}");
    }

    using var package = ZipFile.OpenRead(path);
    var metadata = XDocument.Parse(Text(package.Entries.Single(e => e.Name.EndsWith(".nuspec", StringComparison.Ordinal)))).Root!.Elements().First();
    XElement? Find(string field) => metadata.Elements().FirstOrDefault(e => e.Name.LocalName == field);
    string id = Find("id")!.Value;
    Expect(Find("license") is { Value: "MIT" } licence && (string?)licence.Attribute("type") == "expression", "the licence is not the expression MIT");
    Expect(Find("readme")?.Value is { } file && package.GetEntry(file) is { } entry && Text(entry) == readme, "no README, or another one");
    Expect(Find("repository") is { } repository && (string?)repository.Attribute("type") == "git" && (string?)repository.Attribute("commit") == commit, $"the repository's commit is not {commit}");
    Expect(Find("description")?.Value.Length > 40 && Find("tags") is not null && Find("authors") is not null, "no description, tags or authors");

    string symbolsPath = Path.ChangeExtension(path, ".snupkg");
    Expect(File.Exists(symbolsPath), "no symbols");
    if (!File.Exists(symbolsPath)) return;
    using var symbols = ZipFile.OpenRead(symbolsPath);
    var own = package.Entries.Where(e => e.Name.StartsWith("IlgpuSparse", StringComparison.Ordinal) && e.Name.EndsWith(".dll", StringComparison.Ordinal)).ToList();
    Expect(own.Any(e => e.Name == id + ".dll"), $"no {id}.dll");
    int linked = 0, embedded = 0;
    foreach (var assembly in own)
    {
        Expect(package.GetEntry(Path.ChangeExtension(assembly.FullName, ".xml")) is not null, $"{assembly.Name} has no documentation");
        string pdbPath = Path.ChangeExtension(assembly.FullName, ".pdb");
        if ((symbols.GetEntry(pdbPath) ?? package.GetEntry(pdbPath)) is not { } pdb)
        {
            Expect(false, $"{assembly.Name} has no symbols");
            continue;
        }
        using var reader = new PEReader(Content(assembly));
        var codeView = reader.ReadCodeViewDebugDirectoryData(reader.ReadDebugDirectory().First(d => d.Type == DebugDirectoryEntryType.CodeView));
        using var provider = MetadataReaderProvider.FromPortablePdbStream(Content(pdb));
        var debug = provider.GetMetadataReader();
        Expect(new BlobContentId(debug.DebugMetadataHeader!.Id).Guid == codeView.Guid, $"the symbols of {assembly.Name} are another build's");

        byte[]? Information(EntityHandle of, Guid kind) => debug.GetCustomDebugInformation(of).Select(debug.GetCustomDebugInformation).Where(i => debug.GetGuid(i.Kind) == kind).Select(i => debug.GetBlobBytes(i.Value)).FirstOrDefault();
        string[] links = Information(EntityHandle.ModuleDefinition, sourceLinkKind) is { } json ? [.. JsonDocument.Parse(json).RootElement.GetProperty("documents").EnumerateObject().Where(d => d.Value.GetString()!.Contains(commit, StringComparison.Ordinal)).Select(d => d.Name.TrimEnd('*'))] : [];
        foreach (var handle in debug.Documents)
        {
            string document = debug.GetString(debug.GetDocument(handle).Name);
            if (Information(handle, embeddedSourceKind) is not null) embedded++;
            else if (links.Any(l => document.StartsWith(l, StringComparison.Ordinal))) linked++;
            else Expect(false, $"nothing leads to the source {document}");
        }
    }
    Console.WriteLine($"{name}: {own.Count} assemblies, {linked:N0} sources by SourceLink, {embedded:N0} in the symbols");
}

static string Text(ZipArchiveEntry entry)
{
    using var reader = new StreamReader(entry.Open());
    return reader.ReadToEnd();
}

static MemoryStream Content(ZipArchiveEntry entry)
{
    var content = new MemoryStream();
    using var stream = entry.Open();
    stream.CopyTo(content);
    content.Position = 0;
    return content;
}
