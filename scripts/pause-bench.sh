#!/usr/bin/env bash
# Measures what a client feels while another one's command takes long, AleaDB and Redis side by side; `pause-bench.sh --help` lists
# the options, pause-bench.py says how it measures. Without --peer the peers are a release build of this tree, redis-server 8.2 and
# Debian's redis-server, as far as they can be had. A run takes ten minutes and 1 GB.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "$here/.." && pwd)
# shellcheck source=scripts/peers.sh
source "$here/peers.sh"

chosen=no
for argument in "$@"; do
    case $argument in
    --peer | --peer=*) chosen=yes ;;
    --help | -h) exec python3 "$here/pause-bench.py" --help ;;
    esac
done

peers=()
if [[ $chosen == no ]]; then
    find_peers
    cargo build --release --locked --manifest-path "$tree/Cargo.toml"
    peers+=(--peer "aleadb=${CARGO_TARGET_DIR:-$tree/target}/release/aleadb --port {port} --bind 127.0.0.1 --save ''")
    redis_options="--port {port} --bind 127.0.0.1 --save '' --appendonly no --daemonize no"
    [[ -z $ALEADB_REDIS_8 ]] || peers+=(--peer "redis-8.2=$ALEADB_REDIS_8 $redis_options")
    [[ -z $ALEADB_REDIS_7 ]] || peers+=(--peer "redis-7.0=$ALEADB_REDIS_7 $redis_options")
fi
exec python3 "$here/pause-bench.py" "${peers[@]}" "$@"
