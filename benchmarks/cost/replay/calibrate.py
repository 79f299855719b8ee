"""`python -m benchmarks.cost.replay.calibrate`: how much success to ask of routing, told by other requests.

The tasks of workloads with other seeds are replayed with the strong model alone, and then routed with each of a few
values of `success`. What is asked for is the least of them at which the share of wrong answers is within the 95 %
interval of the strong model's own. The seed of the replay itself is refused.
"""

import argparse
import asyncio
import sys
from typing import Final

from benchmarks.cost.cache.measures import wilson
from benchmarks.cost.replay.__main__ import SEED, Ways, replay
from benchmarks.cost.replay.workload import requests

SEEDS: Final = (101, 102)
VALUES: Final = (0.9, 0.95, 0.98)  #: the default, the strong model's own 98 %, and between them


def main() -> int:
    """Print a table and the choice; 1 where no value keeps the wrong answers within the interval."""
    parser = argparse.ArgumentParser(prog="benchmarks.cost.replay.calibrate", description=__doc__)
    parser.add_argument("--requests", type=int, default=4_000, help="of each workload; about a quarter are tasks")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    given = parser.parse_args()
    if SEED in given.seeds:
        parser.error(f"{SEED} is the seed of the replay: choose on others")
    ways = [Ways(name="strong alone"), *(Ways(name=f"{value:.0%}", routing=True, success=value) for value in VALUES)]
    wrong, usd, count = [0] * len(ways), [0.0] * len(ways), 0
    for seed in given.seeds:
        tasks = [one for one in requests(given.requests, seed) if one.kind == "task"]
        count += len(tasks)
        for number, one in enumerate(ways):
            outcome = asyncio.run(replay(one, tasks, given.requests, seed))
            wrong[number] += len(outcome.wrong_at)
            usd[number] += outcome.usd
    low, high = wilson(wrong[0], count)
    print(f"{count:,} tasks of the seeds {', '.join(map(str, given.seeds))}\n")
    print("| Success asked for | Wrong answers delivered | USD | Saved |\n| --- | --- | --- | --- |")
    for one, bad, spent in zip(ways, wrong, usd, strict=True):
        print(f"| {one.name} | {bad} = {bad / count:.2%} | {spent:.4f} | {1 - spent / usd[0]:.1%} |")
    able = [one.success for one, bad in zip(ways[1:], wrong[1:], strict=True) if bad / count <= high]
    print(f"\nThe strong model alone is wrong in {low:.2%} to {high:.2%} of all tasks.")
    print(f"The least that keeps to it: {min(able):.0%}" if able else "None of them keeps to it.")
    return 0 if able else 1


if __name__ == "__main__":
    sys.exit(main())
