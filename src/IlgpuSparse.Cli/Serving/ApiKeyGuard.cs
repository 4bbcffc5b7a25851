using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace IlgpuSparse.Cli.Serving;

/// <summary>Compares bearer tokens with the key, in a time that tells nothing of how much of it was right, nor of its length.</summary>
internal sealed class ApiKeyGuard(string key)
{
    private readonly byte[] _hash = SHA256.HashData(Encoding.UTF8.GetBytes(key));

    /// <summary>Whether <paramref name="request"/> carries the key.</summary>
    public bool Admits(HttpRequest request)
    {
        const string Scheme = "Bearer ";
        string given = request.Headers.Authorization.ToString();
        string token = given.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) ? given[Scheme.Length..].Trim() : "";
        return CryptographicOperations.FixedTimeEquals(SHA256.HashData(Encoding.UTF8.GetBytes(token)), _hash);
    }
}
