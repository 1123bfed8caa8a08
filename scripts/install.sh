#!/usr/bin/env bash
# Installs AleaDB as a systemd service, or removes it. Running it again upgrades. Never starts, enables or stops anything
# that the caller did not ask for, and never overwrites a configuration.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    cat <<'TEXT'
usage: install.sh [options] [BINARY]

Installs BINARY (default: a release build of this tree) with its configuration and systemd units. A new configuration gets
a `maxmemory` of 75 % of the machine's memory; one that is there is kept. Under sudo the build is the calling user's.

  --prefix DIR    where the program goes, below bin/ (default /usr/local)
  --destdir DIR   root of the installation, for packaging; no user is created then
  --uninstall     remove program and units; configuration, data and user stay
  --dry-run       print what would be done
  --self-test     install into a temporary directory, check, uninstall, check
  --help          this text
TEXT
}

prefix=/usr/local destdir='' action=install dry=no binary=''

fail() {
    echo "install: $*" >&2
    exit 1
}

run() {
    if [[ $dry == yes ]]; then
        printf 'would run:'
        printf ' %q' "$@"
        printf '\n'
    else
        "$@"
    fi
}

# Whether there is a running systemd that this installation is for.
live_systemd() { [[ -z $destdir && -d /run/systemd/system ]]; }

reload_units() {
    if live_systemd; then
        run systemctl daemon-reload
    fi
}

# The user who called sudo, if that is how this script was started as root.
caller() {
    if [[ $(id -u) == 0 && -n ${SUDO_USER:-} && $SUDO_USER != root ]]; then
        echo "$SUDO_USER"
    fi
}

# Where cargo is for the user who builds. sudo's PATH does not lead to where rustup puts it.
find_cargo() {
    local user home
    user=$(caller)
    home=${HOME:-/root}
    if [[ -n $user ]]; then
        home=$(getent passwd "$user" | cut -d: -f6)
    fi
    if [[ -x $home/.cargo/bin/cargo ]]; then
        echo "$home/.cargo/bin/cargo"
    else
        command -v cargo || fail "no cargo in PATH nor in $home/.cargo/bin. Install Rust (https://rustup.rs), or build as the \
user who has it and give the program: cargo build --release && sudo scripts/install.sh target/release/aleadb"
    fi
}

build() {
    local cargo user as=()
    cargo=$(find_cargo)
    user=$(caller)
    # What root builds in a user's tree the user can no longer build.
    [[ -z $user ]] || as=(sudo -H -u "$user" --)
    run "${as[@]}" "$cargo" build --release --locked --manifest-path "$here/../Cargo.toml"
    local target=${CARGO_TARGET_DIR:-$here/../target}
    binary=$target/release/aleadb
}

# Three quarters of the memory that there is, in megabytes: of the machine's, or of what a container is given.
memory_share_mb() {
    local bytes limit file
    bytes=$(($(awk '/^MemTotal:/ { print $2 }' /proc/meminfo) * 1024))
    for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
        limit=$(cat "$file" 2>/dev/null || true)
        # Without a limit it is a word, or a number of 19 digits.
        if [[ $limit =~ ^[0-9]{1,18}$ ]] && ((limit < bytes)); then
            bytes=$limit
        fi
    done
    echo $((bytes / 4 * 3 / 1048576))
}

create_user() {
    if [[ -n $destdir ]] || id -u aleadb >/dev/null 2>&1; then
        return 0
    fi
    local shell=/usr/sbin/nologin
    run useradd --system --user-group --home-dir /var/lib/aleadb --no-create-home --shell "$shell" aleadb
}

# The units name the program by its default path.
install_unit() {
    local unit=$1 text
    text=$(sed "s#/usr/local/bin/aleadb#$prefix/bin/aleadb#g" "$here/$unit")
    if [[ $dry == yes ]]; then
        printf 'would write: %s\n' "$units/$unit"
    else
        install -d "$units"
        printf '%s\n' "$text" >"$units/$unit"
        chmod 644 "$units/$unit"
    fi
}

install_all() {
    [[ -n $binary ]] || build
    [[ $dry == yes || -x $binary ]] || fail "$binary is not a program"
    create_user
    # The new program replaces the name, not the file, so a running server keeps the one it was started from.
    run install -d "$bin"
    run install -m 755 "$binary" "$bin/aleadb.new"
    run mv -f "$bin/aleadb.new" "$bin/aleadb"
    install_configuration
    install_unit aleadb.service
    install_unit aleadb.socket
    reload_units
    if [[ $dry == yes ]]; then
        echo "install: nothing was done (--dry-run)"
    elif live_systemd && systemctl --quiet is-active aleadb.service; then
        echo "install: done; the old server goes on, with its data, until: systemctl restart aleadb"
    else
        echo "install: done; start with: systemctl enable --now aleadb"
    fi
}

install_configuration() {
    # CONFIG REWRITE needs to write in the directory. The file may come to hold a password: for the service's group, and for
    # nobody else.
    local group=()
    [[ -n $destdir ]] || group=(-g aleadb)
    run install -d -m 770 "${group[@]}" "$etc"
    if [[ -e $etc/aleadb.conf ]]; then
        echo "install: keeping $etc/aleadb.conf"
        return
    fi
    run install -m 640 "${group[@]}" "$here/aleadb.conf" "$etc/aleadb.conf"
    # A package is made on one machine for others.
    if [[ -z $destdir ]]; then
        run sed -i "s/^maxmemory 0\$/maxmemory $(memory_share_mb)mb/" "$etc/aleadb.conf"
    fi
}

uninstall_all() {
    if live_systemd; then
        run systemctl disable --now aleadb.service aleadb.socket || true
    fi
    run rm -f "$bin/aleadb" "$units/aleadb.service" "$units/aleadb.socket"
    reload_units
    if [[ $dry == yes ]]; then
        echo "install: nothing was done (--dry-run)"
    else
        echo "install: removed; $etc, /var/lib/aleadb, /var/log/aleadb and the user aleadb were left alone"
    fi
}

# Installs a stand-in program below a temporary root and looks at what is there after each step.
self_test() {
    local root
    root=$(mktemp -d)
    # shellcheck disable=SC2064 # the directory is known now, and `root` is not in scope when the trap runs
    trap "rm -rf '$root'" EXIT
    local self=("$here/install.sh" --destdir "$root" --prefix /opt/alea)
    local said
    for said in "$("${self[@]}" --dry-run /bin/true)" "$("${self[@]}" --dry-run --uninstall)"; do
        [[ $said == *'nothing was done'* && $said != *'install: done'* ]] || fail "self-test: a dry run says: $said"
    done
    [[ -z $(ls -A "$root") ]] || fail "self-test: a dry run wrote something"
    self_test_cargo "$root/home"
    [[ $(memory_share_mb) -gt 0 ]] || fail "self-test: a machine without memory"
    grep -q '^maxmemory 0$' "$here/aleadb.conf" || fail "self-test: the configuration has no line for maxmemory"
    "${self[@]}" /bin/true >/dev/null
    cmp -s /bin/true "$root/opt/alea/bin/aleadb" || fail "self-test: the program is not in place"
    grep -q '^ExecStart=/opt/alea/bin/aleadb ' "$root/etc/systemd/system/aleadb.service" || fail "self-test: wrong unit"
    echo '# mine' >"$root/etc/aleadb/aleadb.conf"
    "${self[@]}" /bin/true >/dev/null
    [[ $(<"$root/etc/aleadb/aleadb.conf") == '# mine' ]] || fail "self-test: the configuration was overwritten"
    "${self[@]}" --uninstall >/dev/null
    [[ $(cd "$root" && find . -type f) == ./etc/aleadb/aleadb.conf ]] || fail "self-test: uninstalling left files behind"
    echo "install: self-test passed"
}

# With a PATH as sudo sets it, cargo is found where rustup puts it, or it is said what to do.
self_test_cargo() {
    local home=$1 said path=$1/path tool
    mkdir -p "$path" "$home/.cargo/bin"
    for tool in bash dirname id getent cut; do ln -s "$(command -v "$tool")" "$path/$tool"; done
    said=$(env -i PATH="$path" HOME="$home" "$here/install.sh" --dry-run --destdir "$home/root" 2>&1) &&
        fail "self-test: an installation without cargo succeeds"
    [[ $said == *'no cargo in PATH'*'sudo scripts/install.sh target/release/aleadb'* ]] || fail "self-test: $said"
    ln -s /bin/true "$home/.cargo/bin/cargo"
    said=$(env -i PATH="$path:/usr/bin:/bin" HOME="$home" "$here/install.sh" --dry-run --destdir "$home/root" 2>&1)
    [[ $said == "would run: $home/.cargo/bin/cargo build --release"* ]] || fail "self-test: $said"
    rm -r "$home"
}

while [[ $# -gt 0 ]]; do
    case $1 in
    --prefix | --destdir)
        [[ $# -ge 2 && -n $2 ]] || fail "$1 needs a directory"
        [[ $2 == /* && $2 != *[#\&\\\ ]* ]] || fail "$1 needs an absolute path without blanks, '#', '&' or '\\'"
        if [[ $1 == --prefix ]]; then prefix=${2%/}; else destdir=${2%/}; fi
        shift
        ;;
    --uninstall) action=uninstall ;;
    --dry-run) dry=yes ;;
    --self-test) action='self-test' ;;
    --help | -h) usage && exit 0 ;;
    -*) usage >&2 && exit 2 ;;
    *) [[ -z $binary ]] || fail "one program only" && binary=$1 ;;
    esac
    shift
done

bin=$destdir$prefix/bin etc=$destdir/etc/aleadb units=$destdir/etc/systemd/system
case $action in
'self-test') self_test ;;
*)
    [[ $dry == yes || -n $destdir || $(id -u) == 0 ]] || fail "must be root, or be given --destdir"
    if [[ $action == install ]]; then install_all; else uninstall_all; fi
    ;;
esac
