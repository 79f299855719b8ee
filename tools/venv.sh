#!/usr/bin/env bash
# Make a virtual environment hold what its lock says: tools/venv.sh DIR run|dev|bench. Nothing is done when it already does.
# Needs python3 with pip. uv is used where there is one; where Python has no ensurepip, uv is fetched into .tools.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$1 kind=$2 python=${PYTHON:-python3}

lock_of() { case $1 in run) echo requirements.lock ;; dev) echo requirements-dev.lock ;; bench) echo requirements-bench.lock ;; esac; }
key_of() { # what an environment of this kind depends on, as one hash
  "$python" - "$(lock_of "$1")" pyproject.toml <<'PY'
import hashlib, pathlib, sys
digest = hashlib.sha256(f"{sys.version} {pathlib.Path.cwd()}".encode())
for name in sys.argv[1:]:
    digest.update(pathlib.Path(name).read_bytes())
print(digest.hexdigest())
PY
}
holds() { [ -x "$dir/bin/python" ] && [ -f "$dir/.locked-$1" ] && [ "$(cat "$dir/.locked-$1")" = "$(key_of "$1")" ]; }

if holds "$kind"; then exit; fi
if [ "$kind" = run ] && holds dev; then exit; fi # the development set contains the runtime set

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Python 3.11 or newer is needed, $("$python" --version) was found; set PYTHON=/path/to/python3.11" >&2; exit 1; }

uv=$(tools/find-uv.sh || true)
if [ ! -x "$dir/bin/python" ]; then
  echo "creating $dir" >&2
  if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    "$python" -m venv "$dir"
  else
    echo "this Python has no ensurepip; uv makes the environment" >&2
    [ -n "$uv" ] || uv=$(tools/find-uv.sh --install)
    "$uv" venv --quiet --python "$python" "$dir"
  fi
fi
rm -f "$dir"/.locked-*

# In CI a package whose locked wheel is missing for this machine is an error, elsewhere it may be built from its locked source.
wheels=(); [ "${CI:-}" != true ] || wheels=(--only-binary :all:)

echo "installing $(lock_of "$kind") into $dir" >&2
with_uv() {
  "$uv" pip install --quiet --python "$dir/bin/python" --require-hashes "${wheels[@]}" -r "$(lock_of "$kind")" &&
  "$uv" pip install --quiet --python "$dir/bin/python" --no-deps --no-build-isolation -e .
}
with_pip() {
  export PIP_DISABLE_PIP_VERSION_CHECK=1
  "$dir/bin/python" -m pip install --quiet --require-hashes "${wheels[@]}" -r "$(lock_of "$kind")" &&
  "$dir/bin/python" -m pip install --quiet --no-deps --no-build-isolation -e .
}
if [ -z "$uv" ]; then
  with_pip
elif ! with_uv; then
  "$dir/bin/python" -m pip --version >/dev/null 2>&1 || { echo "uv could not install the lock (see above)" >&2; exit 1; }
  echo "uv could not install the lock (see above); pip tries, with its own settings" >&2
  with_pip
fi
key_of "$kind" >"$dir/.locked-$kind"
