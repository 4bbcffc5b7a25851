using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace IlgpuSparse.OracleTests.Oracles;

/// <summary>
/// A graph of standard ONNX operators (operator set 23), built in memory and run by ONNX Runtime: arithmetic that other people wrote. Field numbers are those of
/// <c>onnx.proto</c>.
/// </summary>
internal sealed class OnnxGraph
{
    private const int OperatorSet = 23;
    private const int IrVersion = 10;

    private readonly ProtobufWriter _graph = new ProtobufWriter().Text(2, "oracle");
    private readonly List<NamedOnnxValue> _feeds = [];

    /// <summary>Adds an input with its values.</summary>
    public OnnxGraph Input<T>(string name, T[] values, params int[] shape)
    {
        int type = values switch
        {
            float[] => 1,
            long[] => 7,
            bool[] => 9,
            _ => throw new ArgumentException($"inputs of type {typeof(T).Name} are not needed here"),
        };
        _graph.Message(11, ValueInfo(name, type, shape));
        _feeds.Add(NamedOnnxValue.CreateFromTensor(name, new DenseTensor<T>(values, shape)));
        return this;
    }

    /// <summary>Adds an operator. Attributes are integers or singles; an empty input name leaves an optional input out.</summary>
    public OnnxGraph Node(string operation, string[] inputs, string output, params (string Name, object Value)[] attributes)
    {
        var node = new ProtobufWriter();
        foreach (string input in inputs) node.Text(1, input);
        node.Text(2, output).Text(4, operation);
        foreach (var (name, value) in attributes)
        {
            var attribute = new ProtobufWriter().Text(1, name);
            if (value is float single) attribute.Single(2, single).Int(20, 1);
            else attribute.Int(3, Convert.ToInt64(value)).Int(20, 2);
            node.Message(5, attribute);
        }
        _graph.Message(1, node);
        return this;
    }

    /// <summary>Runs the graph and returns the fp32 tensor <paramref name="output"/>.</summary>
    public float[] Run(string output)
    {
        _graph.Message(12, ValueInfo(output, 1, null));
        byte[] model = new ProtobufWriter().Int(1, IrVersion).Message(7, _graph).Message(8, new ProtobufWriter().Text(1, "").Int(2, OperatorSet)).ToArray();
        using var options = new SessionOptions { IntraOpNumThreads = 1 };
        using var session = new InferenceSession(model, options);
        using var results = session.Run(_feeds);
        return results.Single().AsTensor<float>().ToArray();
    }

    private static ProtobufWriter ValueInfo(string name, int elementType, int[]? shape)
    {
        var tensor = new ProtobufWriter().Int(1, elementType);
        if (shape is not null)
        {
            var dimensions = new ProtobufWriter();
            foreach (int size in shape) dimensions.Message(1, new ProtobufWriter().Int(1, size));
            tensor.Message(2, dimensions);
        }
        return new ProtobufWriter().Text(1, name).Message(2, new ProtobufWriter().Message(1, tensor));
    }
}
