#!/usr/bin/env bash
# Make the environments of the queue contestants from their locks: .venv-queues/NAME. Nothing is done for those that are right already.
set -euo pipefail
cd "$(dirname "$0")/../../.."
python=${PYTHON:-python3}
uv=$(tools/find-uv.sh --install)
for name in "${@:-redis5 redis7 redis8}"; do for name in $name; do
  lock=benchmarks/performance/queues/locks/$name.lock dir=.venv-queues/$name
  key=$("$python" -c 'import hashlib,sys; print(hashlib.sha256(sys.version.encode() + open(sys.argv[1], "rb").read()).hexdigest())' "$lock")
  if [ -x "$dir/bin/python" ] && [ "$(cat "$dir/.locked" 2>/dev/null)" = "$key" ]; then continue; fi
  echo "installing $lock into $dir" >&2
  rm -rf "$dir"
  "$uv" venv --quiet --python "$python" "$dir"
  "$uv" pip install --quiet --python "$dir/bin/python" --require-hashes -r "$lock"
  echo "$key" >"$dir/.locked"
done; done
