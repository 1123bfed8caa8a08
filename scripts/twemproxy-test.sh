#!/usr/bin/env bash
# Keys spread over three servers: by twemproxy (Debian's nutcracker) with scripts/examples/nutcracker.yml, and by clients with rings
# of their own, scripts/examples/ring.py over redis-py and ring.js over ioredis. twemproxy-test.py says what is looked at.
#
#   [SERVER=PROGRAM] [ORACLE=PROGRAM] scripts/twemproxy-test.sh
#
# SERVER is a release build of this tree unless set, and may be any program with redis-server's command line. ORACLE is the single server
# whose replies those through the proxy are compared with: Debian's redis-server unless set. Half a minute; needs no privileges,
# unless nutcracker has to be installed.
set -euo pipefail
if [[ ${1:-} == --help || ${1:-} == -h ]]; then
    # The lines above.
    exec sed -n '/^#!/d; /^#/!q; s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "$here/.." && pwd)
# shellcheck source=scripts/peers.sh
source "$here/peers.sh"

die() {
    printf 'twemproxy-test: %s\n' "$*" >&2
    exit 2
}

peers_redis_7
peers_python
peers_node
[[ -n $ALEADB_PYTHON ]] || die "redis-py could not be had"
# Debian has it where administrators' programs are.
PATH=$PATH:/usr/sbin
command -v nutcracker >/dev/null || peers_apt nutcracker || die "nutcracker is missing; as root: apt-get install nutcracker"
[[ -n $ALEADB_NODE ]] || printf 'twemproxy-test: %s\n' "MISSING: ioredis; only redis-py's ring is tested" >&2
[[ -n $ALEADB_NODE || ${CI:-} != true ]] || die "CI=true: every client must run"
if [[ -z ${SERVER:-} ]]; then
    cargo build --release --locked --manifest-path "$tree/Cargo.toml"
    SERVER="${CARGO_TARGET_DIR:-$tree/target}/release/aleadb"
fi
export NODE_PATH=$ALEADB_NODE_PATH PYTHONDONTWRITEBYTECODE=1
exec "$ALEADB_PYTHON" "$here/twemproxy-test.py" --server "$SERVER" --oracle "${ORACLE:-${ALEADB_REDIS_7:-}}" --node "$ALEADB_NODE" "$@"
