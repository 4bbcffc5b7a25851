#!/usr/bin/env bash
# Measures the server on a machine with a GPU driver and the ASP.NET Core runtime, from a published copy: no SDK is needed. Over HTTP: tokens a second of 1, 8, 16 and 64 requests at once, and the time to the first token
# behind a shared prefix of 6,000 tokens; of the model that travels with the tool, then of a real model's shape with random weights (scripts/random-model.py).
#
#   scripts/gpu-serve.sh PUBLISHED RESULTS
#
# PUBLISHED  a folder made by: PlotPlatforms=none dotnet publish tests/IlgpuSparse.ServerTests -c Release -o PUBLISHED   (its .playwright may be removed; without models/ it reads those of the repository)
# RESULTS    a folder for serve.log, serve.txt and the random model
# BACKEND    (environment) what computes; default cuda
# SHAPE      (environment) llama-3-8b (default; 8 GB), llama-2-7b or tiny; none for the embedded model alone
#
# Exits with 1 when a measurement failed, or 16 requests at once are not GOAL (4; on the CPU 1.5) times one, or a second first token takes more than 5 % of the first.
set -uo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
published=${1:?usage: scripts/gpu-serve.sh PUBLISHED RESULTS}
results=${2:?usage: scripts/gpu-serve.sh PUBLISHED RESULTS}
[ -f "$published/IlgpuSparse.ServerTests.dll" ] || { echo "no IlgpuSparse.ServerTests.dll in $published" >&2; exit 2; }
[ -e "$published/models" ] || ln -s "$repository/models" "$published/models"
mkdir -p "$results"
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 BACKEND=${BACKEND:-cuda}
shape=${SHAPE:-llama-3-8b}
goal=${GOAL:-$([ "$BACKEND" = cpu ] && echo 1.5 || echo 4)}
log=$results/serve.log
status=0
: > "$log"

measure() {
    echo "== $1 on $BACKEND" | tee -a "$log"
    MODEL=$2 dotnet "$published/IlgpuSparse.ServerTests.dll" -noColor -noLogo -explicit only -class "*MeasurementTests" -showLiveOutput 2>&1 | tee -a "$log"
    [ "${PIPESTATUS[0]}" -eq 0 ] || status=1
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | tee -a "$log" || echo "no nvidia-smi" | tee -a "$log"
measure "the embedded model" ""
if [ "$shape" != none ]; then
    python3 "$repository/scripts/random-model.py" "$repository/models/books-16m-q8_0.gguf" "$shape" "$results/$shape.gguf" || exit 1
    measure "$shape, random weights" "$results/$shape.gguf"
    rm "$results/$shape.gguf"
fi

{
    echo
    awk -v goal="$goal" '
        /^== / { model = substr($0, 4) }
        match($0, /prompts of .* at once: .*one/) { print model ": " substr($0, RSTART, RLENGTH); found++ }
        match($0, / 16 at once: .* [0-9.]+x one/) { split(substr($0, RSTART, RLENGTH), part, ", "); if (part[2] + 0 < goal) { missed++; print "  below the goal of " goal "x" } }
        match($0, /[0-9]+ tokens, [0-9]+ from the cache: .*request/) { line = substr($0, RSTART, RLENGTH); print model ": " line; found++; share = line; sub(/.* ms, /, "", share); if (line !~ / [01] from the cache/ && share + 0 > 5) { missed++; print "  above the goal of 5 %" } }
        END { if (!found) print "nothing was measured"; exit !found || missed > 0 }' "$log" || status=1
} > "$results/serve.txt"
cat "$results/serve.txt"
exit "$status"
