#!/bin/sh
# Says where promtool is. Where there is none, fetches it out of Debian's package `prometheus` into .tools/, without installing
# the package: nothing is started, and no root is needed unless the package lists are missing.
set -eu
cd "$(dirname "$0")/../.."
here="$PWD/.tools/promtool/usr/bin/promtool"

if command -v promtool; then exit 0; fi
if ! [ -x "$here" ]; then
    command -v apt-get >/dev/null || { echo "promtool is missing: it comes with Prometheus." >&2; exit 1; }
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    chmod 755 "$folder"
    (cd "$folder" && { apt-get -qq download prometheus || { apt-get -qq update && apt-get -qq download prometheus; }; }) >/dev/null 2>&1 ||
        { echo "promtool could not be fetched: try apt-get install prometheus." >&2; exit 1; }
    mkdir -p .tools/promtool
    dpkg-deb --fsys-tarfile "$folder"/prometheus_*.deb | tar -x -C .tools/promtool ./usr/bin/promtool
fi
echo "$here"
