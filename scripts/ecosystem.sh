#!/usr/bin/env bash
# Applications and libraries that live on scripts (queues, locks, limiters, sessions), each with its main flow against a real
# server: a release build of this tree, or another.
#
#   scripts/ecosystem.sh [--server PROGRAM | --port N] [--list] [NAME...]
#
# --server starts that program instead, with redis-server's command line; --port takes a server that runs on this machine,
# which must be empty, as it is emptied after every flow. NAMEs choose flows; --list names them all. What the flows need is
# fetched with npm, pip and (as root) apt-get into a cache of its own; what could not be had is named, and its flows count as
# failed under CI=true and as skipped otherwise. Ends with a non-zero status if a flow failed. A minute and a half in all.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "$here/.." && pwd)
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/aleadb-ecosystem"
# Pinned so that a run can be repeated. Of BullMQ there are two generations in use.
NODE_PACKAGES=(bullmq@6.7.0 bullmq-5@npm:bullmq@5.81.5 bull@4.16.5 bee-queue@2.0.0 rate-limiter-flexible@11.4.0
    redlock@5.0.0-beta.2 connect-redis@10.0.0 express-session@1.19.0 redis@6.3.1 ioredis@5.11.1)
# `packaging` is what the first needs and does not name. arq wants an older redis-py, and so is apart.
PYTHON_PACKAGES=('celery[redis]==5.7.0' rq==3.0.0 redlock-py==1.0.8 packaging==26.3)
ARQ_PACKAGES=(arq==0.28.0)
RUBY_PACKAGE=ruby-sidekiq
FLOWS=(bullmq bullmq-5 bull bee-queue rate-limiter-flexible redlock connect-redis
    celery rq arq redis-py-lock redlock-py sidekiq)
FLOW_SECONDS_MAX=180
START_SECONDS_MAX=20

say() { printf 'ecosystem: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 2
}

program='' port='' chosen=()
while [[ $# -gt 0 ]]; do
    case $1 in
    --help | -h) exec sed -n '/^#!/d; /^#/!q; s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" ;;
    --list)
        printf '%s\n' "${FLOWS[@]}"
        exit
        ;;
    --server | --port)
        [[ $# -ge 2 ]] || die "$1 wants a value"
        if [[ $1 == --server ]]; then program=$2; else port=$2; fi
        shift
        ;;
    -*) die "no such option: $1; --help lists them" ;;
    *)
        [[ " ${FLOWS[*]} " == *" $1 "* ]] || die "no such flow: $1; --list names them"
        chosen+=("$1")
        ;;
    esac
    shift
done
[[ -z $program || -z $port ]] || die "either --server or --port"
[[ ${#chosen[@]} -gt 0 ]] || chosen=("${FLOWS[@]}")

# Sends one inline command and prints the first line of the reply; fails when nobody answers.
ask() {
    local reply
    exec 9<>"/dev/tcp/127.0.0.1/$port" || return 1
    printf '%s\r\n' "$*" >&9
    IFS= read -r -t 20 reply <&9 || return 1
    exec 9>&-
    printf '%s\n' "${reply%$'\r'}"
}

server_pid='' work=$(mktemp -d)
finish() {
    [[ -z $server_pid ]] || { kill "$server_pid" && wait "$server_pid"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

start_server() {
    local deadline=$((SECONDS + START_SECONDS_MAX))
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    # shellcheck disable=SC2086 # A program may come with what it is to be run with.
    (cd "$work" && exec $program --port "$port" --bind 127.0.0.1 --save '' --dir "$work") >"$work/log" 2>&1 &
    server_pid=$!
    until [[ $(ask PING 2>/dev/null) == +PONG ]]; do
        kill -0 "$server_pid" 2>/dev/null || die "the server does not start: $(cat "$work/log")"
        ((SECONDS < deadline)) || die "the server does not answer: $(cat "$work/log")"
    done
}

# Makes a directory of the cache anew unless it is that of exactly these packages.
fetched() {
    local dir=$1
    shift
    [[ -f $dir/.done && $(<"$dir/.done") == "$*" ]]
}

fetch_node() {
    command -v node >/dev/null && command -v npm >/dev/null || install_debian nodejs npm || return 1
    fetched "$CACHE/node" "${NODE_PACKAGES[*]}" && return
    say "fetching ${NODE_PACKAGES[*]} with npm"
    rm -rf "$CACHE/node"
    mkdir -p "$CACHE/node"
    npm install --prefix "$CACHE/node" --no-audit --no-fund --ignore-scripts --loglevel error "${NODE_PACKAGES[@]}" >&2 &&
        printf '%s' "${NODE_PACKAGES[*]}" >"$CACHE/node/.done"
}

fetch_python() {
    local dir="$CACHE/$1"
    shift
    fetched "$dir" "$*" && return
    say "fetching $* with pip"
    rm -rf "$dir"
    mkdir -p "$CACHE"
    { python3 -m venv "$dir" || { install_debian python3-venv && python3 -m venv --clear "$dir"; }; } >&2 &&
        "$dir/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >&2 && printf '%s' "$*" >"$dir/.done"
}

fetch_ruby() {
    command -v ruby >/dev/null && command -v sidekiq >/dev/null && ruby -e 'require "sidekiq"' 2>/dev/null ||
        install_debian "$RUBY_PACKAGE"
}

install_debian() {
    [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || return 1
    say "installing $* with apt-get"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2 ||
        { apt-get update -q >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2; }
}

node_flow() {
    fetch_node || return 1
    command=(env "NODE_PATH=$CACHE/node/node_modules" "ECOSYSTEM_PACKAGE=$2" node "$here/ecosystem/$1.js")
}

python_flow() {
    local dir=$1 file=$2
    shift 2
    fetch_python "$dir" "$@" || return 1
    command=(env PYTHONDONTWRITEBYTECODE=1 "$CACHE/$dir/bin/python" "$here/ecosystem/$file.py")
}

# Sets `command` to what runs a flow; fails when something is missing.
prepare() {
    case $1 in
    bullmq | bullmq-5) node_flow bullmq "$1" ;;
    bull | bee-queue | rate-limiter-flexible | redlock | connect-redis) node_flow "$1" "$1" ;;
    celery) python_flow python celery_flow "${PYTHON_PACKAGES[@]}" ;;
    rq) python_flow python rq_flow "${PYTHON_PACKAGES[@]}" ;;
    redis-py-lock) python_flow python redis_py_lock_flow "${PYTHON_PACKAGES[@]}" ;;
    redlock-py) python_flow python redlock_py_flow "${PYTHON_PACKAGES[@]}" ;;
    arq) python_flow arq arq_flow "${ARQ_PACKAGES[@]}" ;;
    sidekiq)
        fetch_ruby || return 1
        command=(ruby "$here/ecosystem/sidekiq.rb")
        ;;
    esac
}

if [[ -n $port ]]; then
    [[ $(ask DBSIZE) == :0 ]] || die "the server on port $port must be there and empty, as it is emptied after every flow"
else
    if [[ -z $program ]]; then
        cargo build --release --locked --manifest-path "$tree/Cargo.toml"
        program="${CARGO_TARGET_DIR:-$tree/target}/release/aleadb"
    fi
    start_server
fi

failed=() missing=()
for flow in "${chosen[@]}"; do
    command=()
    if ! prepare "$flow"; then
        say "MISSING: what $flow needs could not be had; it is skipped"
        missing+=("$flow")
        continue
    fi
    begin=$SECONDS
    if ECOSYSTEM_PORT=$port timeout -k 5 "$FLOW_SECONDS_MAX" "${command[@]}" >"$work/out" 2>&1; then
        printf '%-22s ok      %s in %d s\n' "$flow" "$(tail -n 1 "$work/out")" $((SECONDS - begin))
    else
        printf '%-22s FAILED  after %d s\n' "$flow" $((SECONDS - begin))
        sed 's/^/    /' "$work/out"
        failed+=("$flow")
    fi
    [[ $(ask FLUSHALL) == +OK ]] || die "the server does not answer any more: $(cat "$work/log" 2>/dev/null)"
done
[[ ${#missing[@]} == 0 ]] || say "skipped, as something is missing: ${missing[*]}"
[[ ${#failed[@]} == 0 ]] || say "FAILED: ${failed[*]}"
[[ ${#failed[@]} == 0 && (${#missing[@]} == 0 || ${CI:-} != true) ]]
