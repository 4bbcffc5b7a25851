using System.IO.MemoryMappedFiles;

namespace IlgpuSparse.Model;

/// <summary>A file mapped into memory to be read. Pointers into it are valid until <see cref="Dispose"/>.</summary>
internal sealed unsafe class MappedFile : IDisposable
{
    private readonly MemoryMappedFile _map;
    private readonly MemoryMappedViewAccessor _view;
    private byte* _data;

    /// <summary>Maps <paramref name="path"/>, which must be at least <paramref name="minimumLength"/> bytes long.</summary>
    /// <exception cref="ModelFormatException">Shorter, or not readable.</exception>
    /// <exception cref="FileNotFoundException">Nothing there.</exception>
    public MappedFile(string path, int minimumLength)
    {
        Path = path;
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            Length = stream.Length;
            if (Length < Math.Max(1, minimumLength))
                throw new ModelFormatException(path, Length == 0 ? "the file is empty" : $"the file is cut short: {Length} bytes, its header alone takes {minimumLength}");
            _map = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
            _view = _map.CreateViewAccessor(0, Length, MemoryMappedFileAccess.Read);
        }
        catch (Exception e) when (e is UnauthorizedAccessException || e is IOException and not (FileNotFoundException or DirectoryNotFoundException))
        {
            _map?.Dispose();
            throw new ModelFormatException(path, $"cannot be read: {e.Message}", e);
        }
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _data);
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>Bytes in it.</summary>
    public long Length { get; }

    /// <summary>The byte at <paramref name="offset"/>, of a range that must lie in the file.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It does not; loaders check before, so that their message can say what for.</exception>
    public byte* At(long offset, long count)
    {
        ObjectDisposedException.ThrowIf(_data == null, this);
        if (offset < 0 || count < 0 || offset > Length - count)
            throw new ArgumentOutOfRangeException(nameof(offset), offset, $"{count} bytes from there are not in {Path} of {Length} bytes");
        return _data + offset;
    }

    /// <summary>As <see cref="At"/>, as a span.</summary>
    public ReadOnlySpan<byte> Span(long offset, int count) => new(At(offset, count), count);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_data == null) return;
        _data = null;
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _map.Dispose();
    }
}
