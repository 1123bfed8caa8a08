#!/usr/bin/env bash
# Measures what keeping data costs, beside Redis and Valkey: the log under each appendfsync, its bytes, SAVE, loading a dump and a
# log, and what clients notice of BGSAVE; `persist-bench.sh --help` lists the options, persist-bench.py says how it measures.
# Without --peer the peers are a release build of this tree, redis-server 8.2 and valkey-server 9.1, as far as peers.sh can
# bring them, else Debian's redis-server. A full run takes about ten minutes and 3 GB of memory and of disk.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "$here/.." && pwd)
# shellcheck source=scripts/peers.sh
source "$here/peers.sh"

chosen=no
for argument in "$@"; do
    case $argument in
    --peer | --peer=*) chosen=yes ;;
    --help | -h) exec python3 "$here/persist-bench.py" --help ;;
    esac
done
command -v redis-benchmark >/dev/null || {
    echo "persist-bench: needs redis-benchmark (Debian: redis-tools)" >&2
    exit 1
}
peers=()
if [[ $chosen == no ]]; then
    cargo build --release --locked --manifest-path "$tree/Cargo.toml"
    peers+=(--peer "aleadb=${CARGO_TARGET_DIR:-$tree/target}/release/aleadb")
    find_peers
    [[ -z $ALEADB_REDIS_8 ]] || peers+=(--peer "redis-8.2=$ALEADB_REDIS_8")
    [[ -z $ALEADB_VALKEY_9 ]] || peers+=(--peer "valkey-9.1=$ALEADB_VALKEY_9")
    if [[ ${#peers[@]} == 2 && -n $ALEADB_REDIS_7 ]]; then
        peers+=(--peer "redis-7.0=$ALEADB_REDIS_7")
    fi
fi
exec python3 "$here/persist-bench.py" "${peers[@]}" "$@"
