#!/usr/bin/env bash
# Replays attacks on a server, AleaDB and redis-server side by side, and tells who stalls, swells, loses an element or dies;
# `abuse.sh --help` lists the options, abuse.py says what each line does and what counts as failed. Without --server it is a
# release build of this tree, without --redis the redis-server 8.2 of peers.sh, or Debian's. Arguments without a dash choose
# lines: `abuse.sh dead-waiters`. A run takes about five minutes and up to 6 GB of memory.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "$here/.." && pwd)
# shellcheck source=scripts/peers.sh
source "$here/peers.sh"

server=() redis=() chosen_server=no chosen_redis=no
for argument in "$@"; do
    case $argument in
    --server | --server=*) chosen_server=yes ;;
    --redis | --redis=* | --no-redis) chosen_redis=yes ;;
    --help | -h | --list) exec python3 "$here/abuse.py" "$@" ;;
    esac
done
if [[ $chosen_server == no ]]; then
    cargo build --release --locked --manifest-path "$tree/Cargo.toml"
    server=(--server "${CARGO_TARGET_DIR:-$tree/target}/release/aleadb")
fi
if [[ $chosen_redis == no ]]; then
    find_peers
    redis=(--redis "${ALEADB_REDIS_8:-$ALEADB_REDIS_7}")
fi
exec python3 "$here/abuse.py" "${server[@]}" "${redis[@]}" "$@"
