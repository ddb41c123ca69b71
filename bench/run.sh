#!/usr/bin/env bash
# The macro benchmark: builds, runs, prints one table, keeps it in bench/out.
# Flags are handed on: bench/run.sh -only post,batch -rounds 5. BENCH_LARGE=1
# adds a million items and two million people (about 20 minutes and 10 GB of disk).
set -euo pipefail
cd "$(dirname "$0")/.."
export GOFLAGS=-buildvcs=false

if ! command -v wrk >/dev/null; then
  echo "== installing wrk (Debian)" >&2
  sudo=""
  if [ "$(id -u)" != 0 ]; then sudo=sudo; fi
  $sudo apt-get install -y -q wrk >&2 || { $sudo apt-get update -q >&2 && $sudo apt-get install -y -q wrk >&2; }
fi
echo "== building" >&2
go build -trimpath -o bin/attune ./cmd/attune
(cd bench && go build -trimpath -o out/bench .)
echo "== measuring, about eight minutes; leave the machine alone meanwhile" >&2
exec bench/out/bench "$@"
