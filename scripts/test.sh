#!/usr/bin/env bash
# The one test command. Installs what the comparisons need (see peers.sh), checks the service units, then runs the whole
# package's tests; arguments go to `cargo test`. Ends with cargo's summaries, and with a non-zero status on any failure.
set -euo pipefail
if [[ ${1:-} == --help || ${1:-} == -h ]]; then
    # The lines above.
    exec sed -n '/^#!/d; /^#/!q; s/^# //p' "${BASH_SOURCE[0]}"
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."
# shellcheck source=scripts/peers.sh
source "$here/peers.sh"

status=0
find_peers || status=1
"$here/check-units.sh" || status=1
"$here/install.sh" --self-test || status=1
[[ $status == 0 ]] || echo "test: the preparations FAILED; running the tests nevertheless" >&2
run() { cargo test --locked --no-fail-fast "$@" || status=1; }
if [[ $# -gt 0 ]]; then
    run "$@"
else
    # What compares with other servers waits for them half of its time: more of it runs at once than there are cores.
    others=(--lib --bins)
    for file in tests/*.rs tests/*/main.rs; do
        name=${file#tests/} name=${name%.rs} name=${name%/main}
        [[ $name == differential ]] || others+=(--test "$name")
    done
    cargo test --locked --no-run || status=1
    run "${others[@]}"
    run --test differential -- --test-threads "$((2 * $(nproc)))"
    run --doc
fi
[[ $status == 0 ]] || echo "test: FAILED" >&2
exit "$status"
