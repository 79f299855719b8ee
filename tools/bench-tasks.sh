#!/usr/bin/env bash
# Make .venv-tasks hold the task packages of `orchestrator bench architectures`, by hash and without their dependencies.
# Needs python3 with venv and pip. The harness finds it by itself; ORCHESTRATOR_BENCH_PYTHON names another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=tools/requirements-bench-tasks.lock python=${PYTHON:-python3} dir=.venv-tasks
key=$("$python" -c 'import hashlib, pathlib, sys; print(hashlib.sha256(sys.version.encode() + pathlib.Path(sys.argv[1]).read_bytes()).hexdigest())' "$lock")
if [ -x "$dir/bin/python" ] && [ "$(cat "$dir/.locked" 2>/dev/null)" = "$key" ]; then exit; fi
echo "installing $lock into $dir" >&2
[ -x "$dir/bin/python" ] || "$python" -m venv "$dir"
PIP_DISABLE_PIP_VERSION_CHECK=1 "$dir/bin/python" -m pip install --quiet --require-hashes --no-deps -r "$lock"
echo "$key" >"$dir/.locked"
