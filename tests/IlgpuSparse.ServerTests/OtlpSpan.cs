using Google.Protobuf;

namespace IlgpuSparse.ServerTests;

/// <summary>A span as it arrived; numbers of fields are those of opentelemetry/proto/trace/v1/trace.proto.</summary>
/// <param name="Service">The resource's <c>service.name</c>.</param>
/// <param name="Name">Its name.</param>
/// <param name="Trace">Id of the trace.</param>
/// <param name="Id">Its own id.</param>
/// <param name="Parent">Id of the span around it; empty where there is none.</param>
/// <param name="Attributes">Texts, truth values, whole numbers and doubles.</param>
internal sealed record OtlpSpan(string Service, string Name, string Trace, string Id, string Parent, IReadOnlyDictionary<string, object> Attributes)
{
    /// <summary>The spans of an ExportTraceServiceRequest.</summary>
    public static IEnumerable<OtlpSpan> Read(byte[] request) =>
        from resourceSpans in Messages(request, 1)
        let service = Messages(resourceSpans, 1).SelectMany(resource => Messages(resource, 1)).Select(Attribute).Where(a => a.Key == "service.name").Select(a => (string)a.Value).FirstOrDefault("")
        from scopeSpans in Messages(resourceSpans, 2)
        from span in Messages(scopeSpans, 2)
        select new OtlpSpan(service, Text(span, 5), Hex(span, 1), Hex(span, 2), Hex(span, 4), Messages(span, 9).Select(Attribute).ToDictionary());

    private static KeyValuePair<string, object> Attribute(byte[] keyValue)
    {
        var input = new CodedInputStream(Messages(keyValue, 2).Single());
        object value = WireFormat.GetTagFieldNumber(input.ReadTag()) switch
        {
            1 => input.ReadString(),
            2 => input.ReadBool(),
            3 => input.ReadInt64(),
            4 => input.ReadDouble(),
            int field => throw new InvalidDataException($"an attribute's value is field {field}"),
        };
        return new(Text(keyValue, 1), value);
    }

    private static string Text(byte[] message, int field) => System.Text.Encoding.UTF8.GetString(Messages(message, field).Single());

    private static string Hex(byte[] message, int field) => Convert.ToHexString(Messages(message, field).SingleOrDefault([]));

    // Contents of the length-delimited fields of a number.
    private static List<byte[]> Messages(byte[] message, int field)
    {
        var found = new List<byte[]>();
        var input = new CodedInputStream(message);
        for (uint tag; (tag = input.ReadTag()) != 0;)
        {
            if (WireFormat.GetTagFieldNumber(tag) == field && WireFormat.GetTagWireType(tag) == WireFormat.WireType.LengthDelimited) found.Add(input.ReadBytes().ToByteArray());
            else input.SkipLastField();
        }
        return found;
    }
}
