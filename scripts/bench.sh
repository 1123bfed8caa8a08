#!/usr/bin/env bash
# Measures AleaDB and Redis side by side; `bench.sh --help` lists the options, bench.py says how it measures. Without
# --peer the peers are a release build of this tree, redis-server 8.6, valkey-server 9.1 and redis-server 8.2, as far as peers.sh
# can bring them, else Debian's redis-server. The first peer is what ratios are to. Raw output goes to target/bench/.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "$here/.." && pwd)
# shellcheck source=scripts/peers.sh
source "$here/peers.sh"

chosen=no
for argument in "$@"; do
    case $argument in
    --peer | --peer=*) chosen=yes ;;
    --help | -h) exec python3 "$here/bench.py" --help ;;
    esac
done

find_peers
command -v redis-benchmark >/dev/null || {
    echo "bench: needs redis-benchmark (Debian: redis-tools)" >&2
    exit 1
}
peers=()
if [[ $chosen == no ]]; then
    cargo build --release --locked --manifest-path "$tree/Cargo.toml"
    peers+=(--peer "aleadb=${CARGO_TARGET_DIR:-$tree/target}/release/aleadb --port {port} --bind 127.0.0.1 --save ''")
    redis_options="--port {port} --bind 127.0.0.1 --save '' --appendonly no --daemonize no"
    [[ -z $ALEADB_REDIS_8_6 ]] || peers+=(--peer "redis-8.6=$ALEADB_REDIS_8_6 $redis_options")
    [[ -z $ALEADB_VALKEY_9 ]] || peers+=(--peer "valkey-9.1=$ALEADB_VALKEY_9 $redis_options")
    [[ -z $ALEADB_REDIS_8 ]] || peers+=(--peer "redis-8.2=$ALEADB_REDIS_8 $redis_options")
    if [[ ${#peers[@]} == 2 && -n $ALEADB_REDIS_7 ]]; then
        peers+=(--peer "redis-7.0=$ALEADB_REDIS_7 $redis_options")
    fi
fi
exec python3 "$here/bench.py" --output "$tree/target/bench/$(date +%Y%m%d-%H%M%S)" "${peers[@]}" "$@"
