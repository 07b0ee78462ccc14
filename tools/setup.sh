#!/bin/sh
# Builds .venv from hashed locks; make calls it when a lock is newer than its stamp.
#     tools/setup.sh runtime requirements.txt requirements-build.txt
#     tools/setup.sh dev requirements-dev.txt          (holds everything that runtime does)
# The project itself is installed editable by the build backend that the locks name: no unlocked download anywhere.
set -eu
kind=$1
shift
log=.venv/setup.log
started_at=$(date +%s)

say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
recent_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# Two makes in two terminals take turns (the lock goes with the process, however it ends), and one of them does the work.
exec 9<pyproject.toml
if command -v flock >/dev/null; then flock 9; fi
stamp=.venv/$kind.stamp
if [ -e "$stamp" ] && [ -z "$(find "$0" pyproject.toml "$@" -newer "$stamp")" ]; then exit 0; fi

find_python() {
    for python in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}; do
        if recent_enough "$python"; then return; fi
    done
    fail "idp-bridge needs Python 3.11 or newer; found: $(python3 --version 2>&1 || echo none). Install one, or name it: make setup PYTHON=/path/to/python3.11"
}

# pip lives in .venv, or (Debian without python3-venv) beside the system's Python and works on .venv from there.
find_pip() {
    if .venv/bin/python -m pip --version; then
        pip=".venv/bin/python -m pip"
    elif "$python" -m pip --python .venv/bin/python --version; then
        pip="$python -m pip --python .venv/bin/python"
    else
        return 1
    fi >/dev/null 2>&1
}

# A .venv names its own place in every script, so one that came along with a copied tree is not used.
usable() {
    [ "$(cat .venv/place 2>/dev/null || pwd -P)" = "$(pwd -P)" ] && recent_enough .venv/bin/python && find_pip
}

create() {
    say "Creating .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv >/dev/null 2>&1 || "$python" -m venv --clear --without-pip .venv
    find_pip || fail "This Python can neither make a .venv nor has pip. On Debian or Ubuntu: apt install python3-venv"
}

install() {
    $pip install --quiet --disable-pip-version-check --no-input --root-user-action=ignore "$@" >>"$log" 2>&1 || {
        say "pip could not install $kind packages:"
        tail -n 30 "$log" >&2
        exit 1
    }
}

find_python
usable || create
rm -f "$stamp"
pwd -P >.venv/place
: >"$log"
touch .venv/started # a lock that changes from here on is newer than the stamp made of this

say "Installing $(cat "$@" | grep -o '^[A-Za-z0-9._-]*==' | sort -u | wc -l | tr -d ' ') locked packages"
for lock in "$@"; do set -- "$@" -r "$lock"; shift; done
install --require-hashes --no-deps "$@"
install --no-deps --no-build-isolation --editable .

if [ "$kind" = dev ]; then cp -p .venv/started .venv/runtime.stamp; fi
mv .venv/started "$stamp"
say "Ready in $(($(date +%s) - started_at)) s"
