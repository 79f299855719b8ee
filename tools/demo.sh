#!/usr/bin/env bash
# The main job on real input: audit the distributions of the environment this runs in. No key, no server.
# Exit 0 (succeeded) and 7 (degraded: some packages say too little about themselves, and the report names them) are both good ends.
set -uo pipefail
cd "$(dirname "$0")/.."
started=$SECONDS
.venv/bin/orchestrator run plans/dependency-audit.plan.yaml "$@"
code=$?
case $code in
  0) echo "demo: succeeded in $((SECONDS - started)) s" >&2 ;;
  7) echo "demo: ended degraded in $((SECONDS - started)) s: the gaps are named in the report" >&2 ;;
  *) echo "demo: failed with exit code $code" >&2; exit "$code" ;;
esac
if [ -d demo-output ]; then printf 'demo: wrote %s\n' demo-output/* >&2; fi
