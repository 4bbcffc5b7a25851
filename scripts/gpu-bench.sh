#!/usr/bin/env bash
# Measures attention on a machine with a GPU driver and the ASP.NET Core runtime, from a published copy: no SDK is needed.
#
#   scripts/gpu-bench.sh PUBLISHED RESULTS [options of bench attention]
#
# PUBLISHED  a folder with IlgpuSparse.Cli.dll, made by dotnet publish of src/IlgpuSparse.Cli or of tests/IlgpuSparse.Tests
# RESULTS    a folder for what is written: attention.json and .md (batch 1), attention-batch.json and .md (batch 8), machine.txt
# BASELINE   (environment, optional) times of PyTorch on this GPU: a file with one JSON object a line, or a Python program that prints it when it is run with the argument 'attention'
#
# Plots are made anywhere: ilgpusparse bench attention --plot-from RESULTS/attention.json --plot docs/numbers
# Exits with 1 when a result was wrong.
set -uo pipefail
published=${1:?usage: scripts/gpu-bench.sh PUBLISHED RESULTS [options of bench attention]}
results=${2:?usage: scripts/gpu-bench.sh PUBLISHED RESULTS [options of bench attention]}
shift 2
[ -f "$published/IlgpuSparse.Cli.dll" ] || { echo "no IlgpuSparse.Cli.dll in $published" >&2; exit 2; }
mkdir -p "$results"
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
status=0

{
    date -u +%FT%TZ
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit --format=csv 2>/dev/null || echo "no nvidia-smi"
} | tee "$results/machine.txt"

comparison=()
baseline=${BASELINE:-}
if [ "${baseline##*.}" = py ]; then
    if python3 "$baseline" attention > "$results/baseline.jsonl"; then baseline="$results/baseline.jsonl"; else echo "$baseline failed: no comparison" >&2; baseline=; status=1; fi
fi
if [ -n "$baseline" ]; then comparison=(--baseline "$baseline"); fi

bench() {
    local name=$1
    shift
    dotnet "$published/IlgpuSparse.Cli.dll" bench attention --output "$results/$name.json" --markdown "$results/$name.md" "$@" || status=1
}

if [ $# -gt 0 ]; then
    bench attention ${comparison[@]+"${comparison[@]}"} "$@"
else
    bench attention ${comparison[@]+"${comparison[@]}"} --backend cuda --contexts 4K,16K,64K,128K,256K --stages
    bench attention-batch --backend cuda --contexts 16K,32K --batch 8
fi
exit "$status"
