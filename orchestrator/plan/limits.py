"""Every default and every cap of the plan format, named, with its unit.

`plan check` prints the defaults. A default belongs to format version 1: changing one is a new version,
because the digest of a plan does not repeat them.
"""

from typing import Final

PLAN_BYTES_MAX: Final = 4 * 1024 * 1024  #: size of one plan file
STEPS_MAX: Final = 100_000  #: steps of one plan, before `foreach`
BRANCHES_MAX: Final = 100_000  #: items of one `foreach`
SUBPLAN_DEPTH_MAX: Final = 8  #: plans inside plans
CHECKS_MAX: Final = 20  #: checks of one step
RUNGS_MAX: Final = 10  #: rungs of one ladder
RETRY_RUNG_MAX: Final = 20  #: attempts one `retry` rung may add
TEXT_CHARS_MAX: Final = 64 * 1024  #: one `task`, `ask` or constraint
OUTPUT_BYTES_MAX: Final = 8 * 1024 * 1024  #: one step's output, as JSON
OUTPUT_DEPTH_MAX: Final = 64  #: nesting of one step's output
OUTPUT_INTEGER_BITS_MAX: Final = 1023  #: a larger integer has no float beside it, and floats are what most readers know
ARTIFACT_BYTES: Final = 32 * 1024  #: a larger output is kept as an artifact, by digest

BUDGET_USD: Final = 1.00  #: of a run that names none
BUDGET_TOKENS: Final = 200_000
BUDGET_WALL_S: Final = 3600.0
BUDGET_STEPS: Final = 1_000  #: first dispatches of steps and branches, sub-plans included
BUDGET_CALLS: Final = None  #: calls of models: not limited but by USD and tokens
CLOSING_SHARE_MAX: Final = 0.5  #: of a budget, kept for the steps of the result
TIMEOUT_ATTEMPT_S: Final = 600.0  #: one attempt of a step
TIMEOUT_TOTAL_S: Final = 1800.0  #: all attempts of a step, waits included
RETRY_ATTEMPTS: Final = 3  #: tries of one attempt's infrastructure, the first included
RETRY_FIRST_S: Final = 1.0
RETRY_MOST_S: Final = 30.0
RETRY_ERRORS: Final = ("timeout", "rate_limit", "provider")
MAX_PARALLEL: Final = 16  #: branches of one `foreach` that run at the same time
ASK_EXPIRES_S: Final = 24 * 3600.0  #: a question to a person
LEASE_LOSSES_MAX: Final = 5  #: times an attempt may be lost to a crash before the step fails
CHECK_BROKEN_MAX: Final = 2  #: times a broken check is tried again
SUPERVISED_STEPS: Final = 20  #: steps of a plan that a supervisor makes
SUPERVISED_FAN_OUT: Final = 8  #: branches of one of its steps
SUPERVISED_DEPTH: Final = 1  #: goals inside goals below a goal
SUPERVISED_TRIES: Final = 3  #: drafts of one attempt
SUPERVISED_CLOSING: Final = 0.1  #: share of its budget kept for the closing step
REPLANS_MAX: Final = 3  #: patches asked for in one run
