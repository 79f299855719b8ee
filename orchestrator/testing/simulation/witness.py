"""The witness of a schedule: keeps books of its own on everything that leaves the system, and compares in the end.

It sees each commit, each task that is sent or begun, each call of a model, each effect outside, each word that a
client was given. The numbers (I1 to I30) are those of docs/reliability.md.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from orchestrator.core import facts as f
from orchestrator.core.history import check_history
from orchestrator.core.invariants import check_state
from orchestrator.engine.recovery import machine_of, read_all
from orchestrator.ids import JsonValue, RunId, StepId
from orchestrator.plan.models import canonical_json, digest_of
from orchestrator.ports import tasks as t
from orchestrator.ports.journal import Append, Journal, Recorded, RunQuery
from orchestrator.testing.simulation.store import RUNS_MAX, root_of

TOKEN: Final = re.compile(r"<T\d+>")
WRONG_MAX: Final = 20  #: violations of one schedule that are told
_MONEY: Final = 1e-6
Place = tuple[RunId, str, int]  #: a unit


@dataclass(slots=True)
class _Books:
    """What the store has committed of one run tree."""

    passed: set[str] = field(default_factory=set)  #: tokens of outputs that passed
    produced: dict[tuple[RunId, str], set[str]] = field(default_factory=lambda: defaultdict(set))  #: by digest
    outputs: dict[tuple[RunId, str], set[str]] = field(default_factory=lambda: defaultdict(set))  #: by step
    quarantined: set[str] = field(default_factory=set)  #: tokens of results that were taken back


class Witness:
    """The books of one schedule."""

    def __init__(self, output: Callable[..., JsonValue] | None = None) -> None:
        self._output = output  #: of the workers of a plan that somebody gave
        self.wrong: list[str] = []
        self.facts = 0
        self._books: dict[RunId, _Books] = defaultdict(_Books)
        self._dispatched: dict[t.TaskKey, str] = {}  #: task: digest of its inputs
        self._attempt: dict[Place, int] = {}
        self._settled: set[Place] = set()
        self._answered: set[tuple[RunId, str, int, int, int]] = set()
        self._checked: dict[Place, set[tuple[int, int]]] = defaultdict(set)  #: (attempt, check) with a verdict
        self._intended: set[tuple[RunId, str]] = set()
        self._reserved: set[str] = set()
        self._passing: set[tuple[t.TaskKey, str]] = set()  #: checks that said yes
        self._approved: Counter[tuple[RunId, str]] = Counter()  #: passes that judges gave, and the journal has not told
        self._begun: Counter[tuple[t.TaskKey, str]] = Counter()
        self._epochs: dict[RunId, int] = {}
        self._ended: dict[RunId, str] = {}
        self.bills: dict[str, float] = {}  #: by charge, at the model
        self._billed_to: dict[str, RunId] = {}  #: the run at the top, by charge; of what was granted before
        self._taken_wrong: list[tuple[RunId, StepId, tuple[str, ...]]] = []  #: over, by whom
        self.effects: dict[str, set[Place]] = defaultdict(set)
        self.acked: dict[str, RunId] = {}  #: what clients were told, by idempotency key
        self.cancelled: set[RunId] = set()  #: clients were told that it is
        self.answers: list[tuple[RunId, str, int, str]] = []  #: people were told that this was taken
        self._count = 0

    def note(self, rule: str, what: str) -> None:
        """A promise is broken."""
        if len(self.wrong) < WRONG_MAX:
            self.wrong.append(f"{rule}: {what}")

    # ---- the store

    def committed(self, entry: Append) -> None:
        """Facts are in the journal."""
        run_id = entry.run_id
        before = self._epochs.get(run_id, 0)
        if entry.epoch < before:
            self.note("I5", f"{run_id}: epoch {entry.epoch} after {before}")
        self._epochs[run_id] = max(before, entry.epoch)
        books = self._books[root_of(run_id)]
        for fact in entry.facts:
            self.facts += 1
            self._book(run_id, fact, books)

    def _book(self, run_id: RunId, fact: f.Fact, books: _Books) -> None:
        if isinstance(fact, f.RunAccepted):
            books.passed |= _tokens(fact.inputs)
        elif isinstance(fact, f.RunEnded):
            if run_id in self._ended:
                self.note("I2", f"{run_id} ended twice: {self._ended[run_id]}, {fact.status}")
            self._ended[run_id] = fact.status
            self._readable(run_id, fact.output, "the result")
        elif isinstance(fact, f.BudgetReserved):
            self._reserved.add(fact.charge)
        elif isinstance(fact, f.EffectIntended | f.ToolIntended):
            self._intended.add((run_id, fact.key))
        elif isinstance(fact, f.StepFact):
            self._book_step(run_id, fact, books)

    def _book_step(self, run_id: RunId, fact: f.StepFact, books: _Books) -> None:
        place = (run_id, str(fact.step), fact.branch)
        if isinstance(fact, f.StepDispatched):
            key = t.TaskKey(run_id, fact.step, fact.branch, fact.attempt, fact.sample, fact.purpose, fact.check)
            self._dispatched[key] = fact.digest
            self._attempt[place] = max(fact.attempt, self._attempt.get(place, 0))
        elif isinstance(fact, f.StepProduced):
            books.produced[run_id, fact.digest] |= _tokens(fact.output)
            self._answered.add((*place, fact.attempt, fact.sample))
        elif isinstance(fact, f.AttemptFailed | f.LeaseLost):
            self._answered.add((*place, fact.attempt, fact.sample))
        elif isinstance(fact, f.CheckVerdict):
            self._checked[place].add((fact.attempt, fact.check))
            key = t.TaskKey(run_id, fact.step, fact.branch, fact.attempt, 0, "check", fact.check)
            if fact.verdict == "pass" and fact.name == "call" and (key, fact.actor) not in self._passing:
                self.note("verdict kept", f"{fact.actor} did not pass {key}, and the journal says so")
            if fact.verdict == "pass" and fact.name == "judge":
                self._approved[run_id, str(fact.step)] -= 1
                if self._approved[run_id, str(fact.step)] < 0:
                    self.note("verdict kept", f"no judge passed {fact.step} of {run_id}, and the journal says so")
        elif isinstance(fact, f.StepReused):
            taken = self._taken_over(run_id, fact)
            books.passed |= taken
            books.outputs[run_id, str(fact.step)] |= taken
            self._settled.add(place)
        elif isinstance(fact, f.StepPassed):
            if fact.digest:
                books.passed |= books.produced[run_id, fact.digest]
                books.outputs[run_id, str(fact.step)] |= books.produced[run_id, fact.digest]
            self._settled.add(place)
        elif isinstance(fact, f.StepFailed | f.StepGap | f.StepSkipped | f.StepCancelled):
            self._settled.add(place)
        elif isinstance(fact, f.StepQuarantined):
            self._take_back(run_id, fact, books)
        elif isinstance(fact, f.ApprovalAsked) and fact.subject in ("step", "effect"):
            self._readable(run_id, fact.show, f"a question of {fact.step}")

    def _take_back(self, run_id: RunId, fact: f.StepQuarantined, books: _Books) -> None:
        gone = {str(fact.step), *map(str, fact.affected)}
        self._settled.update(one for one in self._attempt if one[0] == run_id and one[1] in gone)
        for step in gone:
            books.quarantined |= books.outputs[run_id, step]

    def _taken_over(self, run_id: RunId, fact: f.StepReused) -> set[str]:
        """An output that another run passed: it did, or it should not be here."""
        tokens = _tokens(fact.output)
        strange = tokens - set().union(*(books.passed for books in self._books.values()))
        if strange:
            self.note("gate", f"{run_id} takes {sorted(strange)} over, which passed in no run")
        wrong = tokens & set().union(*(books.quarantined for books in self._books.values()))
        if wrong:
            self._taken_wrong.append((run_id, fact.step, tuple(sorted(wrong))))
        return tokens

    def rewound(self, kept: list[Append]) -> None:
        """A power cut took commits back: begin the books again from what is left. What is outside stays."""
        fresh = Witness()
        for entry in kept:
            fresh.committed(entry)
        for name in ("_books", "_dispatched", "_attempt", "_settled", "_answered", "_checked", "_epochs", "_ended"):
            setattr(self, name, getattr(fresh, name))
        # What was granted in a record that is gone, nobody can hold against the budget any more.
        self._reserved = fresh._reserved

    # ---- what leaves the system

    def sent(self, task: t.StepTask, owner: str) -> None:
        """A task leaves its owner: what led to it must be journaled."""
        if task.key not in self._dispatched:
            self.note("journal first", f"{owner} sent {task.key}, which is not in the journal")

    def began(self, task: t.StepTask) -> None:
        """A worker reads its inputs."""
        self._readable(task.key.run_id, [task.args, task.instruction], str(task.key))
        digest = self._dispatched.get(task.key)
        told = digest_of({"task": task.instruction, "with": task.args}) if task.instruction is not None else ""
        if digest and digest not in (told, digest_of(task.args)):
            self.note("I10", f"{task.key} was given other inputs than the journal says")

    def _readable(self, run_id: RunId, value: JsonValue, who: str) -> None:
        wanted = _tokens(value)
        if wanted:
            unpassed = wanted - self._books[root_of(run_id)].passed
            if unpassed:
                self.note("gate", f"{who} of {run_id} reads {sorted(unpassed)}, which did not pass")

    def output(self, task: t.StepTask, *, ok: bool) -> JsonValue:
        """See `Outside`."""
        if self._output is not None:
            return self._output(task, ok=ok)
        self._count += 1
        return {"ok": ok, "n": 7 if ok else self._count, "v": f"<T{self._count}>"}

    def called(self, key: t.TaskKey, charge: str, usd: float, tokens: int) -> None:  # a ledger of money
        """See `Outside`: the model's own books."""
        if charge in self.bills:
            self.note("I18", f"{charge} is billed twice")
        self.bills[charge] = usd
        if charge in self._reserved:
            self._billed_to[charge] = root_of(key.run_id)
        elif usd > 0.01:  # smaller ones are told of afterwards: nobody asks before
            self.note("reserve first", f"{charge} was granted, and its reservation is not in the journal")

    def checked(self, key: t.TaskKey, worker: str) -> None:
        """See `Outside`: a check said yes."""
        self._passing.add((key, worker))

    def approved(self, run_id: RunId, step: str) -> None:
        """A judge said that an output passes."""
        self._approved[run_id, step] += 1

    def effect(self, key: t.TaskKey, effect: str, *, tool: bool) -> None:
        """See `Outside`: the world has changed."""
        if (key.run_id, effect) not in self._intended:
            self.note("intent first", f"{'tool' if tool else 'step'} {key} acted under {effect} without an intent")
        self._begun[key, effect] += 1
        if self._begun[key, effect] > 1 and not tool:
            self.note("I13", f"{key} acted {self._begun[key, effect]} times")
        place = (key.run_id, str(key.step_id), key.branch)
        self.effects[effect].add(place)
        if len(self.effects[effect]) > 1:
            self.note("I13", f"{effect} is the key of {sorted(self.effects[effect])}")

    def acknowledged(self, message: t.TaskMessage) -> None:
        """An owner that drives the run has let go of an answer: what it meant must be in the journal (I15)."""
        key = message.key
        place = (key.run_id, str(key.step_id), key.branch)
        if not isinstance(message, t.TaskDone | t.TaskFailed) or key.run_id in self._ended:
            return
        if place in self._settled or key.attempt < self._attempt.get(place, 0) or key not in self._dispatched:
            return
        answered = (*place, key.attempt, key.sample) in self._answered
        checked = (key.attempt, key.check) in self._checked[place]
        if not (checked if key.purpose == "check" else answered):
            self.note("I15", f"the answer to {key} was acknowledged, and it is not in the journal")

    def told(self, key: str, run_id: RunId) -> None:
        """A client was told that its run is accepted."""
        known = self.acked.setdefault(key, run_id)
        if known != run_id:
            self.note("I20", f"key {key} gave {known}, and then {run_id}")
        if run_id not in self._epochs:
            self.note("I1", f"{run_id} was acknowledged, and it is not in the journal")

    # ---- the end

    def has_ended(self, run_id: RunId) -> bool:
        """Whether the journal says so."""
        return run_id in self._ended

    def ends(self) -> list[str]:
        """How runs ended."""
        return list(self._ended.values())

    async def look(self, journal: Journal, *, rewound: bool) -> dict[RunId, list[Recorded]]:
        """Read every journal from its first record to its last; return them."""
        rows = await journal.runs(RunQuery(limit=RUNS_MAX))
        histories = {row.run_id: await read_all(journal, row.run_id) for row in rows}
        for run_id, records in histories.items():
            for violation in check_history(records)[:3]:
                where = f"{violation.step}[{violation.branch}]"
                self.note(violation.rule, f"{run_id} record {violation.seq} {where}: {violation.what}")
            self._replay(run_id, records)
        for key, run_id in self.acked.items():
            if run_id not in histories:
                self.note("I1", f"{run_id}, acknowledged under {key}, is gone")
        for run_id, step, wrong in self._taken_wrong:  # what was found wrong at that moment is taken back at once
            back = [one.fact for one in histories.get(run_id, ()) if isinstance(one.fact, f.StepQuarantined)]
            if run_id in histories and not any(step in (fact.step, *fact.affected) for fact in back):
                self.note("gate", f"{run_id} takes {list(wrong)} over, which was found to be wrong")
        if not rewound:
            self._look_at_words(histories)
        self._look_at_money(histories)
        self._look_at_effects(histories)
        return histories

    def _replay(self, run_id: RunId, records: list[Recorded]) -> None:
        try:
            machine = machine_of(records)
        except Exception as error:  # noqa: BLE001  # whatever it is, a journal that cannot be replayed is a find
            self.note("I28", f"{run_id} cannot be replayed: {error}")
            return
        for violation in check_state(machine.state)[:3]:
            if violation.rule != "todo":  # what a live machine would have looked at next
                self.note(violation.rule, f"{run_id} after replay: {violation.what}")

    def _look_at_words(self, histories: dict[RunId, list[Recorded]]) -> None:
        """What people were told has happened is in the journal."""
        for run_id in sorted(self.cancelled):
            facts = [record.fact for record in histories.get(run_id, [])]
            if not any(isinstance(fact, f.CancelRequested | f.RunEnded) for fact in facts):
                self.note("I21", f"{run_id} was said to be cancelled, and the journal knows nothing of it")
        for run_id, step, branch, choice in self.answers:
            facts = [record.fact for record in histories.get(run_id, [])]
            if not any(
                isinstance(fact, f.ApprovalAnswered | f.ApprovalExpired) and (fact.step, fact.branch) == (step, branch)
                for fact in facts
            ) and not any(isinstance(fact, f.RunEnded) and fact.status == "cancelled" for fact in facts):
                self.note("answer kept", f"{choice!r} to {step}[{branch}] of {run_id} was taken, and is nowhere")

    def _look_at_effects(self, histories: dict[RunId, list[Recorded]]) -> None:
        """Whatever happened outside was announced in a record that is still there, after any power cut."""
        announced = {
            record.fact.key
            for records in histories.values()
            for record in records
            if isinstance(record.fact, f.EffectIntended | f.ToolIntended)
        }
        for effect in sorted(self.effects.keys() - announced):
            self.note("intent kept", f"{effect} happened, and the journal knows nothing of it")

    def _look_at_money(self, histories: dict[RunId, list[Recorded]]) -> None:
        """I18: what is booked under a charge is what the model billed. I17: granted calls stay within the budget."""
        billed_to: dict[RunId, float] = defaultdict(float)
        for charge, run_id in self._billed_to.items():
            if charge in self._reserved:
                billed_to[run_id] += self.bills[charge]
        for run_id, records in histories.items():
            for record in records:
                fact = record.fact
                if isinstance(fact, f.ModelCalled | f.BudgetSettled):
                    billed = self.bills.get(fact.charge)
                    if billed is None or abs(billed - fact.usd) > _MONEY:
                        self.note("I18", f"{fact.charge} is booked with {fact.usd}, and the model billed {billed}")
            first = records[0].fact
            if isinstance(first, f.RunAccepted) and first.parent is None:
                limit = first.usd + sum(
                    record.fact.by
                    for record in records
                    if isinstance(record.fact, f.LimitExtended) and record.fact.limit == "usd"
                )
                if billed_to[run_id] > limit + _MONEY:
                    self.note("I17", f"{run_id} was granted {limit} USD and models billed {billed_to[run_id]}")


def _tokens(value: JsonValue) -> set[str]:
    return set(TOKEN.findall(canonical_json(value)))
