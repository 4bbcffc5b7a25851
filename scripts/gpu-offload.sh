#!/usr/bin/env bash
# Shows on a machine with a GPU driver and the ASP.NET Core runtime what K and V in host memory cost and bring, from a published copy: no SDK is needed.
#
#   scripts/gpu-offload.sh PUBLISHED RESULTS [PART ...]
#
# PUBLISHED  a folder made by: dotnet publish tests/IlgpuSparse.Tests -c Release -o PUBLISHED   (has the tool as well)
# RESULTS    a folder for what is written: a log, and for each part JSON and Markdown
# PART       default: all, in this order. Each ends after the seconds behind it at the latest; the estimates are for an H100 with 128 GiB of memory, 64 GiB of it to be pinned.
#   tests      results equal to those with K and V on the device, to the bit; what is left after failures     about 60 s, 120 at most
#   record     the selections of the model that travels with the tool                                         about 15 s,  60 at most
#   contexts   tokens/s over the context, on the device and on the host, for the plot; rows over the bus      about 130 s, 200 at most
#   budgets    256K tokens: 1/16 and 1/64, fp16 and int8 rows, with and without prediction                    about 190 s, 260 at most
#   hot        256K tokens: hot rows, random and recorded selections                                          about 80 s, 130 at most
#   large      Llama-2-7B at 128K tokens: 64 GiB of K and V, more than the device has                         about 120 s, 200 at most
#   dry        none of the above: the commands at tiny size on ILGPU's CPU accelerator, without a GPU         minutes of a processor
#
# Plots are made anywhere: ilgpusparse bench offload --plot-from RESULTS/contexts.json --plot docs/numbers
# Exits with 1 when a part failed or ran out of time.
set -uo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
published=${1:?usage: scripts/gpu-offload.sh PUBLISHED RESULTS [PART ...]}
results=${2:?usage: scripts/gpu-offload.sh PUBLISHED RESULTS [PART ...]}
shift 2
[ -f "$published/IlgpuSparse.Cli.dll" ] || { echo "no IlgpuSparse.Cli.dll in $published" >&2; exit 2; }
[ -e "$published/models" ] || ln -s "$repository/models" "$published/models"
[ $# -gt 0 ] || set -- tests record contexts budgets hot large
mkdir -p "$results"
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
log="$results/offload.log"
status=0

# run SECONDS COMMAND...
run() {
    local most=$1 start=$SECONDS
    shift
    timeout -s INT -k 10 "$most" "$@" 2>&1 | tee -a "$log"
    [ "${PIPESTATUS[0]}" -eq 0 ] || status=1
    echo "== $((SECONDS - start)) s" | tee -a "$log"
}

bench() {
    local most=$1 name=$2
    shift 2
    run "$most" dotnet "$published/IlgpuSparse.Cli.dll" bench offload --output "$results/$name.json" --markdown "$results/$name.md" "$@"
}

{
    date -u +%FT%TZ
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || echo "no nvidia-smi"
} 2>&1 | tee -a "$log"

for part in "$@"; do
    echo "== $part" | tee -a "$log"
    case $part in
        tests)
            [ -f "$published/IlgpuSparse.Tests.dll" ] || { echo "no IlgpuSparse.Tests.dll in $published" >&2; exit 2; }
            run 120 dotnet "$published/IlgpuSparse.Tests.dll" -noColor -noLogo -class "*.CudaHostKvCacheTests" -class "*.CudaHostKvMemoryTests" -class "*.CudaHostKvPredictionTests"
            ;;
        record) run 60 dotnet "$published/IlgpuSparse.Cli.dll" bench offload --record "$results/selections" --budgets 1/16 --backend cuda --seed 1 ;;
        contexts) bench 200 contexts --backend cuda --contexts 16K,64K,256K --budgets 1/16 --hot 0 --predict off,trust --samples 3 --no-locality ;;
        budgets) bench 260 budgets --backend cuda --contexts 256K --budgets 1/16,1/64 --kv-type f16,int8 --hot 0 --predict off,late,trust --samples 3 --rows 256 --no-device --no-locality ;;
        hot)
            replay=()
            if [ -f "$results/selections" ]; then replay=(--replay "$results/selections"); fi
            bench 130 hot --backend cuda --contexts 256K --budgets 1/16 --hot 0,auto --predict off --samples 3 --rows 256 --no-device --no-locality ${replay[@]+"${replay[@]}"}
            ;;
        large) bench 200 large --backend cuda --shape llama-2-7b --contexts 128K --budgets 1/16,1/64 --hot 0 --predict off,trust --samples 2 --rows 256 --no-device --no-locality ;;
        dry) bench 900 dry --backend ilgpu-cpu --shape tiny --contexts 1K --budgets 1/4 --kv-type f16,int8 --hot 0 --predict late --kv-late 0.5 --samples 1 --rows 128 --no-device ;;
        *)
            echo "no part '$part'; there are tests, record, contexts, budgets, hot, large, dry" >&2
            exit 2
            ;;
    esac
done
exit "$status"
