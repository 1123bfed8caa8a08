#!/usr/bin/env bash
# Fuzzes: `scripts/fuzz.sh TARGET [SECONDS]`, with TARGET one of parser, inline, config, acl, restore, rdb, aof, manifest, glob,
# commands, cjson, cmsgpack, struct, bit, script, http, and 60 seconds unless told. Needs a nightly toolchain for the coverage
# instrumentation and the address sanitizer. Inputs of interest are kept below tests/fuzz/target/; what crashes is written
# there too, and belongs into tests/fuzz/corpus/TARGET under a telling name.
set -euo pipefail
if [[ ${1:-} == --help || ${1:-} == -h ]]; then
    # The lines above.
    exec sed -n '/^#!/d; /^#/!q; s/^# //p' "${BASH_SOURCE[0]}"
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../tests/fuzz"

target=${1:?usage: scripts/fuzz.sh TARGET [SECONDS]}
seconds=${2:-60}
host=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
coverage+=" -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
RUSTFLAGS="--cfg fuzzing -Zsanitizer=address -Ccodegen-units=1 $coverage" \
    cargo +nightly build --locked --release --target "$host" --bin "$target"
mkdir -p "target/found/$target" target/crashes
"target/$host/release/$target" "target/found/$target" "corpus/$target" \
    -max_total_time="$seconds" -artifact_prefix=target/crashes/ -timeout=10
