#!/usr/bin/env bash
# Print the path of axe.min.js, an accessibility checker that tests put into a page. It is installed into .tools/axe when it is not
# there, by its hash and without running any script of its own. Exit 3: it cannot be had here, and why.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=.tools/axe lock=tools/axe/package-lock.json

if ! cmp -s "$lock" "$dir/.installed"; then
  command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || { echo "node and npm are not on PATH" >&2; exit 3; }
  # Beside its place and moved there whole: tests in several processes may ask at once.
  mkdir -p .tools
  new=$(mktemp -d .tools/axe.XXXXXX)
  trap 'rm -rf "$new"' EXIT
  cp tools/axe/package.json "$lock" "$new/"
  npm ci --prefix "$new" --ignore-scripts --no-audit --no-fund --loglevel=error >&2 || { echo "npm could not install axe-core" >&2; exit 3; }
  cp "$lock" "$new/.installed"
  rm -rf "$dir"
  "${PYTHON:-python3}" -c 'import os, sys; os.rename(*sys.argv[1:])' "$new" "$dir" 2>/dev/null || cmp -s "$lock" "$dir/.installed" || { echo "$dir could not be written" >&2; exit 3; }
fi
echo "$PWD/$dir/node_modules/axe-core/axe.min.js"
