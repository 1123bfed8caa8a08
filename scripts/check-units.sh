#!/usr/bin/env bash
# Checks the service and socket units: they load without a remark; the service's exposure, as systemd rates it from 0 (closed) to
# 10 (open), is at most 2.0; and the service is allowed what the server does. Needs systemd-analyze (installed as root if missing),
# no running systemd and no installed aleadb.
set -euo pipefail
if [[ ${1:-} == --help || ${1:-} == -h ]]; then
    # The lines above.
    exec sed -n '/^#!/d; /^#/!q; s/^# //p' "${BASH_SOURCE[0]}"
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/peers.sh
source "$here/peers.sh"

if ! command -v systemd-analyze >/dev/null && ! peers_apt systemd; then
    echo "check-units: systemd-analyze is not installed; the units were not checked" >&2
    [[ ${CI:-} != true ]]
    exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# `verify` insists that the program exists, which on a build machine it does not: any program will do here.
sed 's#^ExecStart=/usr/local/bin/aleadb#ExecStart=/bin/true#' "$here/aleadb.service" >"$work/aleadb.service"
cp "$here/aleadb.socket" "$work/"

status=0
for unit in aleadb.service aleadb.socket; do
    remarks=$(systemd-analyze verify "$work/$unit" 2>&1) || status=1
    if [[ -n $remarks ]]; then
        printf 'check-units: %s: %s\n' "$unit" "$remarks" >&2
        status=1
    fi
done
if ! report=$(systemd-analyze security --offline=true --threshold=20 --no-pager "$work/aleadb.service" 2>&1); then
    printf '%s\n' "$report" >&2
    status=1
fi

# setting NAME - the values of a setting of the service, one a line.
setting() { sed -n "s/^$1=//p" "$here/aleadb.service"; }

complain() {
    echo "check-units: aleadb.service: $*" >&2
    status=1
}

# CONFIG REWRITE makes a new file beside the configuration.
configuration=$(setting ExecStart | grep -o '/[^ ]*\.conf')
[[ " $(setting ReadWritePaths | tr '\n-' '  ') " == *" ${configuration%/*} "* ]] || complain "${configuration%/*} is read-only"
# The last line that names a system call decides; @resources holds this one.
[[ $(setting SystemCallFilter | grep -E '@resources|setpriority' | tail -n 1) == setpriority ]] ||
    complain "the helper thread cannot lower its priority"
# Who may take all memory must not be the last to be ended for it.
[[ $(setting OOMScoreAdjust) != -* || -n $(setting MemoryMax) ]] || complain "protected from the kernel, and without MemoryMax"

printf 'check-units: %s\n' "$(tail -n 1 <<<"$report" | sed 's/^[^A-Za-z]*//')"
exit "$status"
