#!/usr/bin/env python3
"""What rows of K and V in pinned host memory cost by where they lie, without IlgpuSparse: a gather of selected rows of 256 bytes, 8 lists of
them in ascending order, from 30 GiB that is walked through layer by layer, with 256 MiB copied on the device between (as the weights of a
layer are, which push translations of addresses out of the second-level cache).

    python3 scripts/gpu-gather.py [alloc] [thp] [create]     # PyTorch with CUDA, 31 GB of host memory; about 25 s for each

alloc   memory by cuMemHostAlloc
thp     mmap with transparent huge pages, by cuMemHostRegister
create  pages of 2 MiB on the host, by cuMemCreate and cuMemMap
"""
import ctypes
import glob
import mmap
import os
import sys

import torch

LAYERS, LISTS, ROW = 30, 8, 256
SOURCE = rb'''
extern "C" __global__ void gather(const char* base, const int* tokens, int rows, char* out) {
  // 16 lanes a row, 8 rows under way; rows as [block of 64 tokens, list, token, byte]
  int list = blockIdx.y, abreast = blockDim.x / 16, sub = threadIdx.x / 16, unit = threadIdx.x % 16;
  for (long first = (long)blockIdx.x * 8 * abreast; first < rows; first += (long)gridDim.x * 8 * abreast) {
    uint4 v[8];
    #pragma unroll
    for (int b = 0; b < 8; b++) { long e = min(first + b * abreast + sub, (long)rows - 1); long t = tokens[(long)list * rows + e];
      v[b] = *(const uint4*)(base + (((t >> 6) * 8 + list) * 64 + (t & 63)) * 256 + unit * 16); }
    #pragma unroll
    for (int b = 0; b < 8; b++) { long e = min(first + b * abreast + sub, (long)rows - 1); *(uint4*)(out + ((long)list * rows + e) * 256 + unit * 16) = v[b]; }
  }
}
'''


class Location(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("id", ctypes.c_int)]


class Properties(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("handles", ctypes.c_int), ("location", Location), ("win32", ctypes.c_void_p), ("flags", ctypes.c_ubyte * 8)]


class Access(ctypes.Structure):
    _fields_ = [("location", Location), ("flags", ctypes.c_int)]


def check(result, what):
    if result != 0:
        sys.exit(f"{what}: error {result}")


def kernel(cuda):
    library = next(f for f in glob.glob(os.path.dirname(torch.__file__) + "/../nvidia/**/libnvrtc.so*", recursive=True) if "builtins" not in f)
    nvrtc, program, size = ctypes.CDLL(library), ctypes.c_void_p(), ctypes.c_size_t()
    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), SOURCE, b"gather.cu", 0, None, None), "nvrtcCreateProgram")
    major, minor = torch.cuda.get_device_capability()
    check(nvrtc.nvrtcCompileProgram(program, 1, (ctypes.c_char_p * 1)(b"--gpu-architecture=sm_%d%d" % (major, minor))), "nvrtcCompileProgram")
    check(nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size)), "nvrtcGetPTXSize")
    ptx = ctypes.create_string_buffer(size.value)
    check(nvrtc.nvrtcGetPTX(program, ptx), "nvrtcGetPTX")
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    check(cuda.cuModuleLoadData(ctypes.byref(module), ptx), "cuModuleLoadData")
    check(cuda.cuModuleGetFunction(ctypes.byref(function), module, b"gather"), "cuModuleGetFunction")
    return function


def alloc(cuda, size):
    host, device = ctypes.c_void_p(), ctypes.c_void_p()
    check(cuda.cuMemHostAlloc(ctypes.byref(host), ctypes.c_size_t(size), 2), "cuMemHostAlloc")
    check(cuda.cuMemHostGetDevicePointer_v2(ctypes.byref(device), host, 0), "cuMemHostGetDevicePointer")
    return device.value, lambda: cuda.cuMemFreeHost(host)


def thp(cuda, size):
    pages = mmap.mmap(-1, size + (2 << 20), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_HUGEPAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    host, device = ctypes.c_void_p(start + (-start & (2 << 20) - 1)), ctypes.c_void_p()
    check(cuda.cuMemHostRegister_v2(host, ctypes.c_size_t(size), 2), "cuMemHostRegister")
    check(cuda.cuMemHostGetDevicePointer_v2(ctypes.byref(device), host, 0), "cuMemHostGetDevicePointer")

    def free():
        cuda.cuMemHostUnregister(host)
        pages.close()

    return device.value, free


def create(cuda, size):
    # pinned, on NUMA node 0 of the host, and mapped for device 0 and that node
    properties, handle, address = Properties(type=1, location=Location(3, 0)), ctypes.c_ulonglong(), ctypes.c_ulonglong()
    check(cuda.cuMemCreate(ctypes.byref(handle), ctypes.c_size_t(size), ctypes.byref(properties), ctypes.c_ulonglong(0)), "cuMemCreate")
    check(cuda.cuMemAddressReserve(ctypes.byref(address), ctypes.c_size_t(size), ctypes.c_size_t(2 << 20), ctypes.c_ulonglong(0), ctypes.c_ulonglong(0)), "cuMemAddressReserve")
    check(cuda.cuMemMap(address, ctypes.c_size_t(size), ctypes.c_size_t(0), handle, ctypes.c_ulonglong(0)), "cuMemMap")
    check(cuda.cuMemSetAccess(address, ctypes.c_size_t(size), (Access * 2)(Access(Location(1, 0), 3), Access(Location(3, 0), 3)), ctypes.c_size_t(2)), "cuMemSetAccess")

    def free():
        cuda.cuMemUnmap(address, ctypes.c_size_t(size))
        cuda.cuMemRelease(handle)
        cuda.cuMemAddressFree(address, ctypes.c_size_t(size))

    return address.value, free


def measure(cuda, function, base, region, rows, groups, threads):
    """Microseconds of a layer, the median."""
    tokens = region // (LISTS * ROW)
    chosen = torch.stack([torch.sort(torch.randperm(tokens, device="cuda")[:rows])[0] for _ in range(LISTS)]).to(torch.int32).contiguous()
    out, between, copied = (torch.empty(n, dtype=torch.uint8, device="cuda") for n in (LISTS * rows * ROW, 256 << 20, 256 << 20))
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(LAYERS)]
    for _ in range(2):
        for layer, (start, end) in enumerate(events):
            copied.copy_(between)
            start.record()
            arguments = [ctypes.c_void_p(base + layer * region), ctypes.c_void_p(chosen.data_ptr()), ctypes.c_int(rows), ctypes.c_void_p(out.data_ptr())]
            pointers = (ctypes.c_void_p * 4)(*[ctypes.cast(ctypes.pointer(a), ctypes.c_void_p) for a in arguments])
            check(cuda.cuLaunchKernel(function, groups, LISTS, 1, threads, 1, 1, 0, ctypes.c_void_p(torch.cuda.current_stream().cuda_stream), pointers, None), "cuLaunchKernel")
            end.record()
        torch.cuda.synchronize()
    return sorted(start.elapsed_time(end) * 1000 for start, end in events)[LAYERS // 2]


def main():
    kinds = {"alloc": alloc, "thp": thp, "create": create}
    asked = sys.argv[1:] or list(kinds)
    for name in asked:
        if name not in kinds:
            sys.exit(f"'{name}': expected {', '.join(kinds)}")
    torch.zeros(1, device="cuda")
    cuda = ctypes.CDLL("libcuda.so.1")
    function = kernel(cuda)
    print(torch.cuda.get_device_name())
    for name in asked:
        base, free = kinds[name](cuda, LAYERS << 30)
        for region in (1 << 30, 1 << 28):
            for rows in (8192, 4096):
                for groups, threads in ((33, 256), (8, 64), (8, 32), (4, 64)):
                    us = measure(cuda, function, base, region, rows, groups, threads)
                    size = LISTS * rows * ROW
                    print(f"{name}: {LISTS * rows:,} rows out of {region >> 20:,} MiB, {groups} x {threads} a list: {us:.1f} us, {size / us / 1e3:.1f} GB/s", flush=True)
        free()


main()
