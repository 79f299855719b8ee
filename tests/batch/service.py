"""A batch service in this process, with all that can go wrong: what it takes, loses, gives back, and when it dies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from orchestrator.ports.batches import BatchItem, BatchOutcome, ServiceState
from orchestrator.ports.endpoint import ChatReply, Usage
from orchestrator.ports.model_errors import ModelUnavailable


class Died(BaseException):
    """The process is gone at this point."""


@dataclass(slots=True)
class Batch:
    """One group that was handed over."""

    key: str
    items: tuple[BatchItem, ...]
    cancelled: bool = False


def answer(item: BatchItem) -> BatchOutcome:
    """What the model says: the question again."""
    text = item.request.messages[-1].content
    reply = ChatReply(text=text, finish="stop", usage=Usage(tokens_in=1_000, tokens_out=100))
    return BatchOutcome(id=item.id, reply=reply)


@dataclass(slots=True)
class FakeService:
    """Counts what is handed over. `work` says what becomes of an item; `trouble` is asked at every call, before (False)
    and after (True) it has taken effect, and may raise."""

    work: Callable[[BatchItem], BatchOutcome | None] = answer
    rounds: int = 1  #: looks at a batch before it has ended
    trouble: Callable[[str, bool], None] = lambda call, after: None
    ends: ServiceState = "ended"
    batches: dict[str, Batch] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def _called(self, name: str, *, after: bool) -> None:
        if not after:
            self.calls.append(name)
        self.trouble(name, after)

    async def submit(self, key: str, items: Sequence[BatchItem]) -> str:
        self._called("submit", after=False)
        made = f"b{len(self.batches) + 1}"
        self.batches[made] = Batch(key, tuple(items))
        self._called("submit", after=True)
        return made

    async def find(self, key: str, since_s: float) -> str:
        self._called("find", after=False)
        found = next((name for name, batch in self.batches.items() if batch.key == key), "")
        self._called("find", after=True)
        return found

    async def state(self, batch: str) -> ServiceState:
        self._called("state", after=False)
        self.looks[batch] = self.looks.get(batch, 0) + 1
        self._called("state", after=True)
        if self.batches[batch].cancelled:
            return "ended"
        return self.ends if self.looks[batch] > self.rounds else "working"

    async def outcomes(self, batch: str) -> list[BatchOutcome]:
        self._called("outcomes", after=False)
        one = self.batches[batch]
        told = [self.work(item) for item in reversed(one.items)]
        self._called("outcomes", after=True)
        return [said for said in told if said is not None]

    async def cancel(self, batch: str) -> None:
        self._called("cancel", after=False)
        self.batches[batch].cancelled = True
        self._called("cancel", after=True)

    async def aclose(self) -> None:
        return None


def down(name: str, at: str, *, after: bool) -> Callable[[str, bool], None]:
    """Trouble once: a call fails before or after it took effect."""
    left = [1]

    def trouble(call: str, late: bool) -> None:
        if call == at and late == after and left[0]:
            left[0] = 0
            raise ModelUnavailable(name, "down", 1.0)

    return trouble
