#!/usr/bin/env bash
# Three sentinels fail three servers over, again and again, while clients write through redis-py and ioredis; says how long they could
# not write, and looks for acknowledged writes that are gone. sentinel-test.py says what is done and what counts as lost.
#
#   [SERVER=PROGRAM] [SENTINEL=redis|valkey|PROGRAM] scripts/sentinel-test.sh [--rounds N] [--faults NAME,...] [--seed N]
#       [--lag-slack SECONDS]
#
# --rounds says how often each fault comes (2), --faults which do, of switch, kill, stop, cut and replica, --seed in which order.
# --lag-slack is for how many seconds beyond min-replicas-max-lag a primary that is cut off may accept writes (1); Redis, which counts
# the lag in whole seconds and looks once a second, needs 2.
#
# SERVER is a release build of this tree unless set, and may be any program with redis-server's command line; or several, between
# semicolons, that take over from each other: SERVER="redis-server;target/release/aleadb". SENTINEL is Debian's
# redis-sentinel unless set; `valkey` is Valkey's. Needs iproute2 and util-linux's unshare, and a kernel that lets this user
# make network namespaces (root needs nothing else, others user namespaces). Where that is refused everything runs on loopback
# addresses, without partitions; under CI=true it is an error. About five minutes.
set -euo pipefail
if [[ ${1:-} == --help || ${1:-} == -h ]]; then
    # The lines above.
    exec sed -n '/^#!/d; /^#/!q; s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "$here/.." && pwd)
# shellcheck source=scripts/peers.sh
source "$here/peers.sh"

say() { printf 'sentinel-test: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 2
}

peers_redis_7
peers_python
peers_node
[[ -n $ALEADB_PYTHON ]] || die "redis-py could not be had"

case ${SENTINEL:=redis} in
redis)
    # The same program by another name, which is all that the package redis-sentinel adds, apart from a service.
    SENTINEL=$(command -v redis-sentinel || printf '%s --sentinel' "${ALEADB_REDIS_7:-redis-server}")
    ;;
valkey)
    peers_valkey_9
    [[ -n $ALEADB_VALKEY_9 ]] || die "Valkey could not be had"
    SENTINEL="$ALEADB_VALKEY_9 --sentinel"
    ;;
esac
if [[ -z ${SERVER:-} ]]; then
    cargo build --release --locked --manifest-path "$tree/Cargo.toml"
    SERVER="${CARGO_TARGET_DIR:-$tree/target}/release/aleadb"
fi
[[ -n $ALEADB_NODE ]] || say "MISSING: ioredis; only redis-py's clients write"
[[ -n $ALEADB_NODE || ${CI:-} != true ]] || die "CI=true: every client must run"

command=("$ALEADB_PYTHON" "$here/sentinel-test.py" --server "$SERVER" --sentinel "$SENTINEL" --node "$ALEADB_NODE")
export NODE_PATH=$ALEADB_NODE_PATH PYTHONDONTWRITEBYTECODE=1

# A network and a /run of its own, so that namespaces can be made and named there, and go with the last process.
# shellcheck disable=SC2016 # Expanded by the shell inside.
inside='mount --make-rprivate / && mount -t tmpfs none /run && ip link set lo up && exec "$@"'
alone=(unshare --net --mount)
[[ $(id -u) == 0 ]] || alone=(unshare --map-root-user --net --mount)
probe='ip netns add a && ip link add whole type bridge && ip link add v type veth peer name w netns a && ip netns exec a true'
if refusal=$("${alone[@]}" sh -c "$inside" sh sh -c "$probe" 2>&1); then
    exec "${alone[@]}" sh -c "$inside" sh "${command[@]}" "$@"
fi
say "NO NETWORK NAMESPACES HERE: ${refusal:-refused}"
[[ ${CI:-} != true ]] || die "CI=true: partitions must be tested"
say "everything runs on loopback addresses, and the partitions are LEFT OUT"
exec "${command[@]}" --loopback "$@"
