#!/usr/bin/env bash
# Runs the tests of scripts under the address sanitizer, Rust's part and the interpreter's in C: `scripts/asan.sh [FILTER]`, where
# FILTER chooses among the unit tests, by default those of the interpreter. Needs a nightly toolchain and a C compiler with the
# sanitizer. Memory comes from the system's allocator there, which the sanitizer watches; builds are kept in target/asan.
set -euo pipefail
if [[ ${1:-} == --help || ${1:-} == -h ]]; then
    # The lines above.
    exec sed -n '/^#!/d; /^#/!q; s/^# //p' "${BASH_SOURCE[0]}"
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="-Zsanitizer=address"
export CFLAGS="-fsanitize=address -fno-omit-frame-pointer -g"
# Patterns tell by the address of a local variable how much of the stack is left, so local variables have to be there.
export ASAN_OPTIONS="detect_stack_use_after_return=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
# The stack that scripts run on is told to the sanitizer by the crate that switches to it.
sanitized=(cargo +nightly test --locked --target "$host" --target-dir target/asan --features corosensei/sanitizer)
# Frames are larger under the sanitizer, so that patterns recurse less deep.
"${sanitized[@]}" --lib "${1:-lua::}" -- --skip patterns_recurse_as_deep_as_the_stack_allows
"${sanitized[@]}" --test it script
"${sanitized[@]}" --test corpora
