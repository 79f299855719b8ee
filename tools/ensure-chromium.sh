#!/usr/bin/env bash
# Print the path of a Chromium. Where none is found, Debian's package is installed: by root anywhere, with sudo in CI only, because
# a test has no business changing somebody's machine behind a stored password. Exit 3: there is none.
set -euo pipefail

find_one() {
  local name
  for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
    if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1; then command -v "$name"; return; fi
  done
  return 1
}

if find_one; then exit; fi
as_root=()
if [ "$(id -u)" != 0 ]; then
  if [ "${CI:-}" = true ] && command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as_root=(sudo -n); else
    echo "no Chromium on PATH and no right to install one; install the package 'chromium' or set CHROMIUM" >&2; exit 3
  fi
fi
if ! command -v apt-get >/dev/null 2>&1; then
  echo "no Chromium on PATH and no apt-get; install one or set CHROMIUM" >&2; exit 3
fi
echo "installing the package chromium" >&2
{ "${as_root[@]}" apt-get update -qq && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends chromium >/dev/null; } >&2 || { echo "the package chromium could not be installed" >&2; exit 3; }
find_one || { echo "the package chromium brought no command of that name" >&2; exit 3; }
