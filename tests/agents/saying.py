"""Models that say what a test wrote down, and remember what they were asked."""

import json
from collections.abc import Callable, Iterable

from orchestrator.ids import JsonValue
from orchestrator.ports.model import Completion, Meter, ModelCall, Prompt, ToolCall

Line = Completion | Exception | Callable[[Prompt], Completion]
USD, TOKENS = 0.01, 100


def says(value: JsonValue | str) -> Completion:
    """An answer: a text, or JSON."""
    if isinstance(value, str):
        return Completion(text=value, finish="stop")
    return Completion(text=json.dumps(value), finish="stop", data=value)


def calls(*asked: tuple[str, object]) -> Completion:
    """An answer that asks for tools: name and arguments, which may be text that is no JSON."""
    made = tuple(
        ToolCall(id=f"c{number}", name=name, arguments=given if isinstance(given, str) else json.dumps(given))
        for number, (name, given) in enumerate(asked)
    )
    return Completion(text="", finish="tool_calls", tool_calls=made)


class Saying:
    """Says one line after the other; each is paid for as a gateway does it."""

    def __init__(self, lines: Iterable[Line], usd: float = USD) -> None:
        self._lines, self._usd = list(lines), usd
        self.prompts: list[Prompt] = []

    async def complete(self, prompt: Prompt, meter: Meter, on_delta: Callable[[str], None] | None = None) -> Completion:
        self.prompts.append(prompt)
        charge = await meter.reserve(2 * self._usd, 2 * TOKENS)
        line = self._lines.pop(0)
        meter.called(
            ModelCall(
                charge=charge,
                model="m",
                endpoint="e",
                outcome="error" if isinstance(line, Exception) else "ok",
                usd=self._usd,
                tokens_in=TOKENS - 10,
                tokens_out=10,
            )
        )
        if isinstance(line, Exception):
            raise line
        said = line(prompt) if callable(line) else line
        for start in range(0, len(said.text), 8):
            meter.delta(said.text[start : start + 8])
        return said
