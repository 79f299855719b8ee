#!/usr/bin/env bash
# Print the path of uv, the fast installer: from PATH or from .tools. With --install, fetch it into .tools by its hashed lock.
# Exit 1 when there is none; nothing outside the checkout is touched.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

if command -v uv >/dev/null 2>&1; then command -v uv; exit; fi
if [ -x .tools/bin/uv ]; then echo "$PWD/.tools/bin/uv"; exit; fi
[ "${1:-}" = "--install" ] || exit 1
# --target is not stopped by the marker of a system-managed Python.
"$python" -m pip install --quiet --require-hashes --target .tools -r tools/requirements-uv.lock >&2
echo "$PWD/.tools/bin/uv"
