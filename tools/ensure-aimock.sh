#!/usr/bin/env bash
# Print the path of aimock's command `llmock`, a stand-in for OpenAI-compatible servers. It is installed into .tools/aimock when it is
# not there, by its hash and without running any script of its own. Exit 3: it cannot be had here, and why.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=.tools/aimock lock=tools/aimock/package-lock.json

command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || { echo "node and npm are not on PATH" >&2; exit 3; }
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 15) ? 0 : 1)' || {
  echo "node 20.15 or newer is needed, $(node --version) was found" >&2; exit 3; }

if ! cmp -s "$lock" "$dir/.installed"; then
  # Beside its place and moved there whole: tests in several processes may ask at once.
  mkdir -p .tools
  new=$(mktemp -d .tools/aimock.XXXXXX)
  trap 'rm -rf "$new"' EXIT
  cp tools/aimock/package.json "$lock" "$new/"
  npm ci --prefix "$new" --ignore-scripts --no-audit --no-fund --loglevel=error >&2 || { echo "npm could not install aimock" >&2; exit 3; }
  cp "$lock" "$new/.installed"
  rm -rf "$dir"
  "${PYTHON:-python3}" -c 'import os, sys; os.rename(*sys.argv[1:])' "$new" "$dir" 2>/dev/null || cmp -s "$lock" "$dir/.installed" || { echo "$dir could not be written" >&2; exit 3; }
fi
echo "$PWD/$dir/node_modules/.bin/llmock"
