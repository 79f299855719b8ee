#!/usr/bin/env bash
# Write the hashed requirement files. They name no index and no address: whoever installs brings their own.
# UPGRADE=1 renews every version; otherwise locked versions stay wherever the ranges in pyproject.toml still allow them.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$(tools/find-uv.sh --install)
upgrade=(); [ -z "${UPGRADE:-}" ] || upgrade=(--upgrade)

# Settings of this machine must not leak into the locks: extra folders of wheels would add foreign hashes.
for name in $(env | sed -n 's/^\(UV_[A-Z_]*\|PIP_[A-Z_]*\)=.*/\1/p'); do
  case $name in UV_CACHE_DIR|*CERT*) ;; *) unset "$name" ;; esac
done

compile() { # compile OUTPUT WHAT-IT-IS ARGUMENTS...
  local out=$1 what=$2; shift 2
  local new; new=$(mktemp)
  [ ! -f "$out" ] || cp "$out" "$new" # the versions to keep
  "$uv" pip compile --quiet --no-config --universal --generate-hashes --python-version 3.11 --no-header --no-annotate --no-strip-extras \
    "${upgrade[@]}" "$@" --output-file "$new" >/dev/null
  { echo "# $what. Written by 'make lock' from pyproject.toml; hashes cover every platform; no index is named."; grep -v '^#' "$new"; } >"$out"
  rm -f "$new"
  echo "$out: $(grep -c '==' "$out") packages, $(grep -c 'sha256:' "$out") hashes"
}

# The development set first; the others follow its versions, so that one version of each package is tested and shipped.
compile requirements-dev.lock "Runtime, build back-end and development tools" --group build --extra dev --extra postgres --extra mcp --extra documents --extra redis-fast --extra local --extra otlp --extra prometheus --extra presidio pyproject.toml
compile requirements.lock "Runtime and build back-end" --group build --constraint requirements-dev.lock pyproject.toml
compile requirements-fleet.lock "What the image holds: runtime, PostgreSQL and the fast Redis parser, build back-end" \
  --group build --extra postgres --extra redis-fast --extra otlp --extra prometheus --constraint requirements-dev.lock pyproject.toml
compile requirements-bench.lock "Runtime, build back-end and the contestants of 'make bench'" \
  --group build --extra bench --extra postgres --constraint requirements-dev.lock pyproject.toml
compile tools/requirements-bench-tasks.lock "Task packages of the comparison harness, without their dependencies" --no-deps tools/bench-tasks.in
compile tools/requirements-uv.lock "uv, the installer that stands in where Python comes without ensurepip" - <<<"uv>=0.9"

if grep -nE '://|^-' requirements.lock requirements-dev.lock requirements-fleet.lock requirements-bench.lock tools/requirements-bench-tasks.lock \
  tools/requirements-uv.lock; then
  echo "a lock names an address or an option (lines above)" >&2; exit 1
fi
