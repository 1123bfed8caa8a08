#!/usr/bin/env bash
# Measures what live queries cost and how soon they tell; `watch-bench.sh --help` lists the options, watch-bench.py says how it
# measures. Without --server it is a release build of this tree. Needs redis-benchmark. A run takes three minutes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "$here/.." && pwd)

server=()
case " $* " in
*" --help "* | *" -h "*) ;;
*" --server"*) ;;
*)
    cargo build --release --locked --manifest-path "$tree/Cargo.toml"
    server=(--server "${CARGO_TARGET_DIR:-$tree/target}/release/aleadb --port {port} --bind 127.0.0.1 --save ''")
    ;;
esac
exec python3 "$here/watch-bench.py" "${server[@]}" "$@"
