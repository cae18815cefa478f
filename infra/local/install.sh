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

make_uv() {
    if ! python_can_make_environments; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            echo "Installing python3-venv."
            { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv; } >/dev/null ||
                fail "python3-venv could not be installed: try apt-get install python3-venv."
        else
            fail "This Python cannot make environments: sudo apt-get install python3-venv, then again."
        fi
    fi
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

# 3.11 where there is one, since that is what we test with; else any newer one that is installed. Never one from elsewhere.
if ! [ -x .venv/bin/python ]; then
    "$uv" venv --quiet --no-python-downloads --python 3.11 .venv 2>/dev/null ||
        "$uv" venv --quiet --no-python-downloads --python '>=3.11' .venv ||
        fail "No Python 3.11 or newer was found: install python3.11 or a later one."
fi

echo "Installing what requirements-dev.lock names into .venv (about 1 GB, once)."
# Compiled now, since every start would otherwise do it where Python may not write beside its modules.
"$uv" pip sync --python .venv/bin/python --require-hashes --compile-bytecode requirements-dev.lock
touch .venv/.ready
