#!/usr/bin/env bash
# Write the hashed locks of the queue contestants: one per environment, because their pins of redis-py exclude each other.
# They name no index and no address: whoever installs brings their own.
set -euo pipefail
cd "$(dirname "$0")/locks"
uv=$(../../../../tools/find-uv.sh --install)
for name in $(env | sed -n 's/^\(UV_[A-Z_]*\|PIP_[A-Z_]*\)=.*/\1/p'); do
  case $name in UV_CACHE_DIR|*CERT*) ;; *) unset "$name" ;; esac
done
for wanted in redis5 redis7 redis8; do
  "$uv" pip compile --quiet --no-config --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
    "$wanted.in" --output-file "$wanted.new" >/dev/null
  { echo "# Contestants of the queue benchmarks ($wanted.in). Written by lock.sh; no index is named."; grep -v '^#' "$wanted.new"; } >"$wanted.lock"
  rm "$wanted.new"
done
if grep -nE '://|^-' ./*.lock; then echo "a lock names an address or an option (lines above)" >&2; exit 1; fi
