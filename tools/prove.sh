#!/usr/bin/env bash
# The default suite at full sizes, one test file after the other. A file that passed on exactly this state of the checkout is not
# run again, so an interrupted proof goes on where it stopped. Exit 1 when any file failed; arguments go to pytest.
set -uo pipefail
cd "$(dirname "$0")/.."
export ORCHESTRATOR_PROVE=full
trap 'echo "prove: interrupted; the same command goes on from here" >&2; exit 130' INT TERM

state=$({ git rev-parse HEAD; git diff HEAD; git ls-files --others --exclude-standard -z | xargs -0 -r cat; } | git hash-object --stdin) || exit 1
done_list=.prove/$state-$(printf '%s ' "$@" | git hash-object --stdin | cut -c1-12)
mkdir -p .prove; touch "$done_list"

failed=() kept=0
while IFS= read -r file; do
  if grep -qxF "$file" "$done_list"; then kept=$((kept + 1)); continue; fi
  started=$SECONDS
  .venv/bin/python -m pytest -q -n "${JOBS:-2}" -m "not browser and not node and not model and not tasks and not live" "$@" "$file" >.prove/last.log 2>&1
  code=$?
  case $code in
    0) echo "$file" >>"$done_list"; echo "proved  $file ($((SECONDS - started)) s)" ;;
    5) echo "$file" >>"$done_list"; echo "nothing $file" ;; # every test of the file needs node or a browser, or was deselected
    *) cat .prove/last.log; failed+=("$file"); echo "FAILED  $file ($((SECONDS - started)) s)" ;;
  esac
done < <(find tests -name 'test_*.py' | sort)

# What the proofs noted, as the reports that docs/reliability.md is made from; and what must hold fifty times in a row, or in twenty orders of its tasks.
.venv/bin/python -m tests.crash.tally || failed+=("tests.crash.tally")
.venv/bin/python -m tests.fuzz.progress || failed+=("tests.fuzz.progress")
.venv/bin/python -m tests.crash.concurrency || failed+=("tests.crash.concurrency")
.venv/bin/python -m tests.orders || failed+=("tests.orders")

echo "prove: $kept files proved before, $(($(wc -l <"$done_list") - kept)) now, ${#failed[@]} failed"
[ ${#failed[@]} = 0 ] || { printf 'prove: failed %s\n' "${failed[@]}"; exit 1; }
