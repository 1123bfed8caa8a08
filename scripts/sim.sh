#!/bin/bash
# Runs the simulator until it finds something or is interrupted, on other seeds each time.
set -euo pipefail
cd "$(dirname "$0")/.."
usage() {
    cat <<'TEXT'
usage: scripts/sim.sh [hours]
Runs the simulator (tests/sim), assertions included, for so many hours (default 1), on seeds that begin at the present second. It
ends when a seed fails, with few steps that fail in the same way; ALEADB_SIM_STEPS=1000 ALEADB_SIM_SEED=<seed> cargo test
--test sim replays it. ALEADB_SIM_STEPS says how many steps each seed has (default 1000).
TEXT
}
case "${1:-1}" in
-h | --help)
    usage
    exit 0
    ;;
*[!0-9]*)
    usage >&2
    exit 2
    ;;
esac
export ALEADB_SIM_STEPS="${ALEADB_SIM_STEPS:-1000}"
export ALEADB_SIM_SEEDS=2000
ends=$(($(date +%s) + 3600 * ${1:-1}))
seed=$(($(date +%s) * 10000))
runs=0
while [ "$(date +%s)" -lt "$ends" ]; do
    ALEADB_SIM_SEED=$seed cargo test --quiet --locked --test sim
    seed=$((seed + ALEADB_SIM_SEEDS))
    runs=$((runs + ALEADB_SIM_SEEDS))
    echo "$runs seeds of $ALEADB_SIM_STEPS steps, and nothing was found"
done
