#!/bin/sh
# Makes .venv hold exactly what requirements-dev.lock says. Needs Python 3.11 or newer and a package registry; fetches uv into
# .tools/ if there is none. `make` runs it when the lock changed.
set -eu
cd "$(dirname "$0")/../.."

fail() {
    echo "$1" >&2
    exit 1
}

command -v python3 >/dev/null || fail "Python is missing: install python3 (3.11 or newer) and python3-venv."

# Debian keeps the means to make an environment in a package of its own.
python_can_make_environments() {
    python3 -c 'import ensurepip, venv' 2>/dev/null
}

# Installs a package of Debian's, if this is Debian and we may; else says what to type.
debian_package() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing $1."
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$1"; } >/dev/null 2>&1 ||
            fail "$1 could not be installed: try apt-get install $1."
    else
        fail "$2 sudo apt-get install $1, then again."
    fi
}

make_uv() {
    python_can_make_environments || debian_package python3-venv "This Python cannot make environments:"
    echo "Fetching uv into .tools/uv."
    rm -rf .tools/uv
    python3 -m venv .tools/uv
    .tools/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r infra/local/uv.txt
}

if command -v uv >/dev/null; then
    uv=uv
else
    uv=.tools/uv/bin/uv
    [ -x "$uv" ] && "$uv" --version >/dev/null 2>&1 || make_uv
fi

# The machine's own certificates where it has some: behind a company's proxy uv's are not enough.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
fi

# 3.11 where there is one, since that is what we test with; else any newer one that is installed. Never one from elsewhere.
if ! [ -x .venv/bin/python ]; then
    "$uv" venv --quiet --no-python-downloads --python 3.11 .venv 2>/dev/null ||
        "$uv" venv --quiet --no-python-downloads --python '>=3.11' .venv ||
        fail "No Python 3.11 or newer was found: install python3.11 or a later one."
fi

echo "Installing what requirements-dev.lock names into .venv (about 1 GB, once)."
# Compiled now, since every start would otherwise do it where Python may not write beside its modules.
"$uv" pip sync --python .venv/bin/python --require-hashes --compile-bytecode requirements-dev.lock
# The local model's wheel brings everything but the run time of OpenMP, which most machines have, but not a bare one.
.venv/bin/python -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null ||
    debian_package libgomp1 "The local model needs libgomp:"
touch .venv/.ready
