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
cargo test --locked --no-fail-fast "$@" || status=1
[[ $status == 0 ]] || echo "test: FAILED" >&2
exit "$status"
