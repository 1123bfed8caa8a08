#!/usr/bin/env bash
# Kills a server again and again under load (kill -9), starts it again on the same directory, and looks for acknowledged writes
# that are gone; `crash-test.sh --help` lists the options, crash-test.py says what is written and what counts as lost. Without
# --server it is a release build of this tree. 200 kills take about five minutes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "$here/.." && pwd)

server=()
case " $* " in
*" --server"* | *" --help "* | *" -h "*) ;;
*)
    cargo build --release --locked --manifest-path "$tree/Cargo.toml"
    server=(--server "${CARGO_TARGET_DIR:-$tree/target}/release/aleadb")
    ;;
esac
exec python3 "$here/crash-test.py" "${server[@]}" "$@"
