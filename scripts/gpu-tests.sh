#!/usr/bin/env bash
# Runs the tests on a machine with a GPU driver and the ASP.NET Core runtime, from a published copy: no SDK is needed.
#
#   scripts/gpu-tests.sh PUBLISHED [LOG] [-- runner options]
#
# PUBLISHED  a folder made by: dotnet publish tests/IlgpuSparse.Tests -c Release -o PUBLISHED   (PlotPlatforms=none leaves 60 MB of plotting libraries out)
# LOG        where everything is written, each test when it begins and when it ends; default gpu-tests.log. Shown are failures, what is skipped, and sums.
# options    of the test runner, e.g. -class "IlgpuSparse.Tests.Gpu.*"; default: all tests
#
# Tests of ILGPU's CPU accelerator are skipped, which every machine runs; ILGPUSPARSE_TEST_KINDS (CpuAccelerator, Cuda, OpenCl, separated by commas) chooses others.
# A published copy without models/ reads those of the repository. OpenCL devices are tested where there are any; NVIDIA's OpenCL, which is often installed without being registered, is
# registered for a second run. Exits with 1 when a test failed.
set -uo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
published=${1:?usage: scripts/gpu-tests.sh PUBLISHED [LOG] [-- runner options]}
shift
log=gpu-tests.log
if [ $# -gt 0 ] && [ "$1" != -- ]; then log=$1; shift; fi
if [ "${1:-}" = -- ]; then shift; fi
[ -f "$published/IlgpuSparse.Tests.dll" ] || { echo "no IlgpuSparse.Tests.dll in $published" >&2; exit 2; }
[ -e "$published/models" ] || ln -s "$repository/models" "$published/models"
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 ILGPUSPARSE_TEST_KINDS="${ILGPUSPARSE_TEST_KINDS:-Cuda,OpenCl}"

temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
: > "$log"
status=0

tests() {
    echo "== $1" | tee -a "$log"
    shift
    dotnet "$published/IlgpuSparse.Tests.dll" -noColor -noLogo -reporter verbose "$@" 2>&1 | tee -a "$log" | grep -v --line-buffered '\[STARTING\]\|\[FINISHED\]'
    [ "${PIPESTATUS[0]}" -eq 0 ] || status=1
}

library() { ldconfig -p 2>/dev/null | grep -qF "$1" || ls /usr/lib/*/"$1" /usr/lib64/"$1" /usr/local/*/lib*/"$1" >/dev/null 2>&1; }

{
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || echo "no nvidia-smi"
    if [ -f "$published/IlgpuSparse.Cli.dll" ]; then dotnet "$published/IlgpuSparse.Cli.dll" doctor; fi
} 2>&1 | tee -a "$log"

tests "as the machine is" "$@"

if ! library libOpenCL.so.1; then
    echo "== no OpenCL loader (libOpenCL.so.1): OpenCL is not tested" | tee -a "$log"
elif ! library libnvidia-opencl.so.1; then
    echo "== no libnvidia-opencl.so.1: NVIDIA's OpenCL is not tested" | tee -a "$log"
elif grep -qsF libnvidia-opencl /etc/OpenCL/vendors/*.icd; then
    echo "== NVIDIA's OpenCL is registered: it was tested above" | tee -a "$log"
else
    echo libnvidia-opencl.so.1 > "$temporary/nvidia.icd"
    export OCL_ICD_VENDORS="$temporary"
    if [ -f "$published/IlgpuSparse.Cli.dll" ]; then dotnet "$published/IlgpuSparse.Cli.dll" doctor 2>&1 | tee -a "$log"; fi
    tests "NVIDIA's OpenCL" -class "*OpenCl*" -class "*.GpuBufferTests" -class "*.GpuLinearTests"
fi
exit "$status"
