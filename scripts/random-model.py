#!/usr/bin/env python3
"""Writes a GGUF file of a real model's shape with random Q8_0 weights, and everything else (tokenizer, constants) from another GGUF file: something to measure a server with where no model can be had.

    scripts/random-model.py models/books-16m-q8_0.gguf llama-3-8b random.gguf [--layers N]

Needs Python alone. The vocabulary is that of the source.
"""
import argparse
import random
import struct

SHAPES = {  # hidden, feed-forward, layers, heads, kv heads; d = 128
    "llama-3-8b": (4096, 14336, 32, 32, 8),
    "llama-2-7b": (4096, 11008, 32, 32, 32),
    "tiny": (256, 512, 2, 2, 1),
}
HEAD_DIM, DEVIATION, PATTERN_BLOCKS = 128, 0.02, 1 << 17
F32, Q8_0 = 0, 8
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


class Source:
    """Key and value pairs of a GGUF v3 file, values as the bytes that they are."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        magic, version, _, count = struct.unpack_from("<4sIQQ", self.data)
        if magic != b"GGUF" or version != 3:
            raise SystemExit(f"{path}: no GGUF v3 file")
        self.at = 24
        self.pairs = {}
        for _ in range(count):
            key = self.string().decode()
            (kind,) = struct.unpack_from("<I", self.data, self.at)
            self.at += 4
            start = self.at
            self.skip(kind)
            self.pairs[key] = (kind, self.data[start:self.at])

    def string(self):
        (length,) = struct.unpack_from("<Q", self.data, self.at)
        self.at += 8 + length
        return self.data[self.at - length:self.at]

    def skip(self, kind):
        if kind == 8:
            self.string()
        elif kind == 9:
            element, count = struct.unpack_from("<IQ", self.data, self.at)
            self.at += 12
            if element in SIZES:
                self.at += SIZES[element] * count
            else:
                for _ in range(count):
                    self.skip(element)
        else:
            self.at += SIZES[kind]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("source")
    arguments.add_argument("shape", choices=SHAPES)
    arguments.add_argument("output")
    arguments.add_argument("--layers", type=int)
    arguments = arguments.parse_args()
    hidden, feed_forward, layers, heads, kv_heads = SHAPES[arguments.shape]
    layers = arguments.layers or layers
    pairs = Source(arguments.source).pairs
    (vocabulary,) = struct.unpack_from("<Q", pairs["tokenizer.ggml.tokens"][1], 4)

    def number(key, value):
        pairs["llama." + key] = (4, struct.pack("<I", value))

    for key, value in {"embedding_length": hidden, "feed_forward_length": feed_forward, "block_count": layers, "attention.head_count": heads, "attention.head_count_kv": kv_heads,
                       "attention.key_length": HEAD_DIM, "attention.value_length": HEAD_DIM, "rope.dimension_count": HEAD_DIM, "context_length": 16384}.items():
        number(key, value)
    name = f"{arguments.shape}, {layers} layers, random weights".encode()
    pairs["general.name"] = (8, struct.pack("<Q", len(name)) + name)

    tensors = [("token_embd.weight", [hidden, vocabulary]), ("output.weight", [hidden, vocabulary]), ("output_norm.weight", [hidden])]
    for i in range(layers):
        tensors += [(f"blk.{i}.{name}.weight", shape) for name, shape in (
            ("attn_norm", [hidden]), ("attn_q", [hidden, heads * HEAD_DIM]), ("attn_k", [hidden, kv_heads * HEAD_DIM]), ("attn_v", [hidden, kv_heads * HEAD_DIM]), ("attn_output", [heads * HEAD_DIM, hidden]),
            ("ffn_norm", [hidden]), ("ffn_gate", [hidden, feed_forward]), ("ffn_up", [hidden, feed_forward]), ("ffn_down", [feed_forward, hidden]))]

    def size(shape):
        return 4 * shape[0] if len(shape) == 1 else shape[0] * shape[1] // 32 * 34

    draw = random.Random(1)
    # 32 numbers of one byte each, uniform, whose deviation is 73.9
    scale = struct.pack("<e", DEVIATION / 73.9)
    pattern = b"".join(scale + draw.randbytes(32) for _ in range(PATTERN_BLOCKS))
    with open(arguments.output, "wb") as file:
        file.write(struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(pairs)))
        for key, (kind, value) in pairs.items():
            file.write(struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + value)
        offset = 0
        for name, shape in tensors:
            file.write(struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", F32 if len(shape) == 1 else Q8_0, offset))
            offset += (size(shape) + 31) // 32 * 32
        file.write(bytes(-file.tell() % 32))
        for _, shape in tensors:
            left = size(shape)
            if len(shape) == 1:
                file.write(struct.pack("<f", 1.0) * shape[0])
            else:
                while left > 0:
                    start = draw.randrange(PATTERN_BLOCKS // 2) * 34
                    piece = pattern[start:start + left]
                    file.write(piece)
                    left -= len(piece)
            file.write(bytes(-size(shape) % 32))


main()
