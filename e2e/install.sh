#!/usr/bin/env bash
# Installs what the end-to-end tests need and says what it does: Chromium from
# Debian, the real SDKs from npm (the versions in package-lock.json). A second
# run does nothing.
set -euo pipefail
cd "$(dirname "$0")"

need=()
command -v chromium >/dev/null || need+=(chromium)
command -v node >/dev/null || need+=(nodejs npm)
if [ ${#need[@]} -gt 0 ]; then
  echo "== installing ${need[*]} (Debian packages)"
  if [ "$(id -u)" = 0 ]; then sudo=(); else sudo=(sudo); fi
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq "${need[@]}" >/dev/null
fi

if [ ! -d node_modules ] || [ package-lock.json -nt node_modules/.stamp ]; then
  echo "== installing the real SDKs (npm)"
  # Not `npm ci`: it insists on optional packages for other systems, which not
  # every registry has. The versions are the lock file's all the same.
  npm install --no-save --omit=optional --no-audit --no-fund --ignore-scripts --loglevel=error
  touch node_modules/.stamp
fi
