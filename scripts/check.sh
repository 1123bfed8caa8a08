#!/usr/bin/env bash
# The one gate before a change lands: formatting, lints as errors, documentation as errors, then every test. Stops at the
# first of these that fails. Arguments go to `cargo test`.
set -euo pipefail
if [[ ${1:-} == --help || ${1:-} == -h ]]; then
    # The lines above.
    exec sed -n '/^#!/d; /^#/!q; s/^# //p' "${BASH_SOURCE[0]}"
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."

step() {
    printf '== %s\n' "$*"
    "$@"
}

step cargo fmt --all --check
step cargo clippy --locked --all-targets -- -D warnings
RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" step cargo doc --locked --no-deps
if command -v shellcheck >/dev/null; then
    step shellcheck -x scripts/*.sh .ci/run
fi
step "$here/test.sh" "$@"
