#!/usr/bin/env bash
# Print the paths of promtool and of prometheus. Where they are not found, Debian's package is unpacked into a folder of the user's
# cache: nothing is installed, and no service starts. Exit 3: there is none.
set -euo pipefail

kept="${XDG_CACHE_HOME:-$HOME/.cache}/hierarchical-orchestrator/prometheus"
find_both() {
  local folder
  for folder in "${PROMETHEUS_BIN:-}" "$kept/usr/bin"; do
    if [ -n "$folder" ] && [ -x "$folder/promtool" ] && [ -x "$folder/prometheus" ]; then
      printf '%s\n%s\n' "$folder/promtool" "$folder/prometheus"; return
    fi
  done
  command -v promtool && command -v prometheus
}

if find_both 2>/dev/null; then exit; fi
if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-deb >/dev/null 2>&1; then
  echo "no promtool on PATH and no apt-get; install Prometheus or set PROMETHEUS_BIN to its folder" >&2; exit 3
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt downloads as a user of its own
cd "$work"
if ! apt-get download -qq prometheus >&2 2>/dev/null; then
  { [ "$(id -u)" = 0 ] && apt-get update -qq && apt-get download -qq prometheus; } >&2 || {
    echo "the package prometheus could not be fetched; install Prometheus or set PROMETHEUS_BIN to its folder" >&2; exit 3
  }
fi
mkdir -p "$kept"
dpkg-deb -x prometheus_*.deb "$kept"
find_both || { echo "the package prometheus brought no promtool" >&2; exit 3; }
