#!/usr/bin/env bash
# Make .venv-tasks hold the task packages of `orchestrator bench architectures`, by hash and without their dependencies.
# Needs python3 with venv, and a C compiler; uv is used where there is one. The harness finds the environment by itself;
# ORCHESTRATOR_BENCH_PYTHON names another interpreter. An environment that was left half made is not used, and made again.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=tools/requirements-bench-tasks.lock python=${PYTHON:-python3} dir=.venv-tasks
key=$("$python" -c 'import hashlib, pathlib, sys; print(hashlib.sha256(sys.version.encode() + pathlib.Path(sys.argv[1]).read_bytes()).hexdigest())' "$lock")
if [ -x "$dir/bin/python" ] && [ "$(cat "$dir/.locked" 2>/dev/null)" = "$key" ]; then exit; fi

# In CI a package whose locked wheel is missing for this machine is an error, elsewhere it may be built from its locked source.
# pycosat and zss have no wheels at all: they are built from their locked sources, the first with a C compiler.
wheels=(); [ "${CI:-}" != true ] || wheels=(--only-binary :all: --no-binary pycosat --no-binary zss)
started=$SECONDS
echo "installing $lock into $dir" >&2
rm -f "$dir/.locked"
uv=$(tools/find-uv.sh || true)
with_uv() {
  "$uv" venv --quiet --clear --python "$python" "$dir" &&
  "$uv" pip install --quiet --python "$dir/bin/python" --require-hashes --no-deps "${wheels[@]}" -r "$lock"
}
with_pip() {
  "$python" -m venv --clear "$dir" &&
  PIP_DISABLE_PIP_VERSION_CHECK=1 "$dir/bin/python" -m pip install --quiet --no-compile --require-hashes --no-deps "${wheels[@]}" -r "$lock"
}
if [ -z "$uv" ]; then
  with_pip
elif ! with_uv; then
  echo "uv could not install the lock (see above); pip tries, with its own settings" >&2
  with_pip
fi
echo "$key" >"$dir/.locked"
echo "installed in $((SECONDS - started)) s" >&2
