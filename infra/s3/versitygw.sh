#!/bin/sh
# Says where versitygw is, a server that speaks S3 and keeps objects in a folder: tests of files in S3 need one. Where there is none,
# builds it into .tools/ from its Go module (Apache-2.0), which takes two or three minutes once.
set -eu
cd "$(dirname "$0")/../.."
version=v1.8.0
here="$PWD/.tools/versitygw"

if command -v versitygw; then exit 0; fi
if ! [ -x "$here/versitygw" ]; then
    go=$(command -v go || echo /usr/local/go/bin/go)
    [ -x "$go" ] || { echo "versitygw is missing, and so is Go to build it with." >&2; exit 1; }
    mkdir -p "$here"
    GOBIN="$here" "$go" install -ldflags "-s -w" "github.com/versity/versitygw/cmd/versitygw@$version" >"$here/build.log" 2>&1 ||
        { echo "versitygw could not be built: $here/build.log says why." >&2; exit 1; }
fi
echo "$here/versitygw"
