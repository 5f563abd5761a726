#!/bin/sh
# Re-resolve every version and write the locks: hashes for all platforms, no index addresses.
# Usage: make lock   (needs the environment; UV names the uv program)
set -eu
cd "$(dirname "$0")"
uv=${UV:-uv}
compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-annotate --no-header --upgrade "$@"
}
compile requirements.in -o requirements.lock
compile gpaw.in --no-deps -o gpaw.lock
compile uv.in -o uv.lock.txt
