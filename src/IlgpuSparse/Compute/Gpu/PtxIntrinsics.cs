using System.Globalization;
using System.Reflection;
using System.Text;
using System.Text.RegularExpressions;
using ILGPU;
using ILGPU.Backends.OpenCL;
using ILGPU.Backends.PTX;
using ILGPU.IR;
using ILGPU.IR.Intrinsics;
using ILGPU.IR.Types;
using ILGPU.IR.Values;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// Registers every <see cref="PtxOpAttribute"/> method of this assembly with a context and writes its PTX. Unlike ILGPU's <c>CudaAsm</c>, arguments and results stay in registers
/// (struct fields included): an <c>out</c> argument of <c>CudaAsm</c> travels through local memory.
/// </summary>
internal static partial class PtxIntrinsics
{
    private const BindingFlags Statics = BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic;

    private static readonly MethodInfo[] Methods =
    [
        .. typeof(PtxIntrinsics).Assembly.GetTypes()
            .Where(type => type.Namespace?.StartsWith(typeof(PtxIntrinsics).Namespace!, StringComparison.Ordinal) == true)
            .SelectMany(type => type.GetMethods(Statics | BindingFlags.DeclaredOnly))
            .Where(method => method.IsDefined(typeof(PtxOpAttribute))),
    ];

    /// <summary>To be called while a context is built.</summary>
    public static void Register(Context.Builder builder)
    {
        var manager = builder.GetIntrinsicManager();
        var handler = typeof(PtxIntrinsics).GetMethod(nameof(Emit), Statics)!;
        foreach (var method in Methods)
        {
            manager.RegisterMethod(method, new PTXIntrinsic(handler, IntrinsicImplementationMode.GenerateCode));
            if (method.GetCustomAttribute<PtxOpAttribute>()!.Portable is { } portable)
                manager.RegisterMethod(method, new CLIntrinsic(method.DeclaringType!.GetMethod(portable, Statics)!, IntrinsicImplementationMode.Redirect));
        }
    }

    [GeneratedRegex(@"\$\$|\$([sg]?)(r|\d+)(?:\.(\d+))?")]
    private static partial Regex Placeholder();

    /// <summary>ILGPU calls this by its signature for each call of a registered method.</summary>
    private static void Emit(PTXBackend backend, PTXCodeGenerator generator, Value value)
    {
        var call = (MethodCall)value;
        var method = (MethodInfo)call.Target.Source;
        if (method.IsGenericMethod) method = method.GetGenericMethodDefinition();
        string asm = method.GetCustomAttribute<PtxOpAttribute>()!.Asm.Trim();
        // arguments first: the result must not share a register with one of them
        var arguments = new PTXRegisterAllocator.Register[call.Count];
        for (int i = 0; i < arguments.Length; i++) arguments[i] = generator.Load(call[i].Resolve());
        var result = method.ReturnType == typeof(void) ? null : generator.Allocate(call);

        var prologue = new StringBuilder();
        var addresses = new HashSet<string>();
        string text = Placeholder().Replace(asm, match =>
        {
            if (match.Value == "$$") return "$";
            bool isResult = match.Groups[2].Value == "r";
            int index = isResult ? -1 : int.Parse(match.Groups[2].Value, CultureInfo.InvariantCulture);
            var register = isResult ? result! : arguments[index];
            if (match.Groups[3].Success)
                register = ((PTXRegisterAllocator.CompoundRegister)register).Children[int.Parse(match.Groups[3].Value, CultureInfo.InvariantCulture)];
            string name = Name(register);
            string kind = match.Groups[1].Value;
            if (match.Groups[3].Success && register is PTXRegisterAllocator.ConstantRegister constant)
            {
                // a matrix operand has to be a register
                string copy = $"c{index}_{match.Groups[3].Value}", type = constant.Value.BasicValueType == BasicValueType.Float32 ? "f32" : "b32";
                if (addresses.Add(copy)) prologue.Append(CultureInfo.InvariantCulture, $".reg .{type} {copy}; mov.{type} {copy}, {name}; ");
                return copy;
            }
            if (kind.Length == 0) return name;
            string address = $"{kind}a{index}";
            if (addresses.Add(address)) AppendAddress(prologue, address, name, kind == "s", ((AddressSpaceType)call[index].Type).AddressSpace, method.Name);
            return kind == "s" ? address + "w" : address;
        });
        if (!text.EndsWith(';') && !text.EndsWith('}')) text += ";";
        generator.Builder.Append('\t').AppendLine(prologue.Length > 0 ? $"{{ {prologue}{text} }}" : text);
    }

    // After address-space inference a ref argument is an address inside its window already; before, it is a generic pointer.
    private static void AppendAddress(StringBuilder prologue, string address, string register, bool shared, MemoryAddressSpace space, string method)
    {
        var wanted = shared ? MemoryAddressSpace.Shared : MemoryAddressSpace.Global;
        if (space != MemoryAddressSpace.Generic && space != wanted)
            throw new NotSupportedException($"{method}: the argument lies in {space} memory, not in {wanted} memory");
        prologue.Append(CultureInfo.InvariantCulture, $".reg .b64 {address}; ");
        string window = shared ? "shared" : "global";
        prologue.Append(space == MemoryAddressSpace.Generic ? $"cvta.to.{window}.u64 {address}, {register}; " : $"mov.b64 {address}, {register}; ");
        if (shared) prologue.Append(CultureInfo.InvariantCulture, $".reg .b32 {address}w; cvt.u32.u64 {address}w, {address}; ");
    }

    private static string Name(PTXRegisterAllocator.Register register) => register switch
    {
        PTXRegisterAllocator.HardwareRegister hardware => "%" + PTXRegisterAllocator.GetStringRepresentation(hardware),
        PTXRegisterAllocator.ConstantRegister constant => constant.Value.BasicValueType switch
        {
            BasicValueType.Float32 => "0f" + BitConverter.SingleToUInt32Bits(constant.Value.Float32Value).ToString("X8", CultureInfo.InvariantCulture),
            BasicValueType.Float64 => "0d" + BitConverter.DoubleToUInt64Bits(constant.Value.Float64Value).ToString("X16", CultureInfo.InvariantCulture),
            _ => constant.Value.RawValue.ToString(CultureInfo.InvariantCulture),
        },
        _ => throw new NotSupportedException("a struct needs a field index: $0.1"),
    };
}
