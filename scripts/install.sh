#!/usr/bin/env bash
# Installs AleaDB as a systemd service, or removes it. Running it again upgrades. Never starts, enables or stops anything
# that the caller did not ask for, and never overwrites a configuration.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    cat <<'TEXT'
usage: install.sh [options] [BINARY]

Installs BINARY (default: a release build of this tree) with its configuration and systemd units.

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

build() {
    run cargo build --release --locked --manifest-path "$here/../Cargo.toml"
    local target=${CARGO_TARGET_DIR:-$here/../target}
    binary=$target/release/aleadb
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
    run install -d "$etc"
    if [[ -e $etc/aleadb.conf ]]; then
        echo "install: keeping $etc/aleadb.conf"
    else
        # It may come to hold a password: readable by the service's group, and by nobody else.
        run install -m 640 "$here/aleadb.conf" "$etc/aleadb.conf"
        if [[ -z $destdir ]]; then
            run chgrp aleadb "$etc/aleadb.conf"
        fi
    fi
    install_unit aleadb.service
    install_unit aleadb.socket
    reload_units
    echo "install: done; start with: systemctl enable --now aleadb"
}

uninstall_all() {
    if live_systemd; then
        run systemctl disable --now aleadb.service aleadb.socket || true
    fi
    run rm -f "$bin/aleadb" "$units/aleadb.service" "$units/aleadb.socket"
    reload_units
    echo "install: removed; $etc, /var/lib/aleadb, /var/log/aleadb and the user aleadb were left alone"
}

# Installs a stand-in program below a temporary root and looks at what is there after each step.
self_test() {
    local root
    root=$(mktemp -d)
    # shellcheck disable=SC2064 # the directory is known now, and `root` is not in scope when the trap runs
    trap "rm -rf '$root'" EXIT
    local self=("$here/install.sh" --destdir "$root" --prefix /opt/alea)
    "${self[@]}" --dry-run /bin/true >/dev/null
    [[ -z $(ls -A "$root") ]] || fail "self-test: a dry run wrote something"
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
