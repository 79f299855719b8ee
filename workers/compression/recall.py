"""The tool `recall`: an agent fetches back what was cut from its conversation."""

from typing import Final

from orchestrator.ids import JsonValue
from orchestrator.ports.model import ToolSpec
from workers.compression.turns import RECALL, Turns
from workers.limits import TOOL_S
from workers.tools.context import ToolContext
from workers.tools.tool import BadCall, ToolTraits

RECALL_TOKENS_MAX: Final = 2_000  #: of one answer; the conversation would otherwise be as long as before

_SPEC: Final = ToolSpec(
    name=RECALL,
    description=(
        "Gives back a tool result that was cut in this conversation. Results are named r1, r2, ...; say what you look "
        "for, and of a long one you get the passages about that."
    ),
    parameters={
        "type": "object",
        "properties": {"result": {"type": "string"}, "find": {"type": "string"}},
        "required": ["result"],
        "additionalProperties": False,
    },
)


class Recall:
    """Reads from what `turns` keeps; changes nothing."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.traits = ToolTraits(spec=_SPEC, effect=False, timeout_s=TOOL_S)

    def check(self, ctx: ToolContext, arguments: dict[str, JsonValue]) -> None:
        """Whether the arguments are what the tool takes; see `Tool.check`."""
        result, find = arguments.get("result"), arguments.get("find", "")
        if not isinstance(result, str) or not isinstance(find, str) or not arguments.keys() <= {"result", "find"}:
            raise BadCall('recall takes {"result": "r1", "find": "what you look for"}')

    async def call(self, ctx: ToolContext, arguments: dict[str, JsonValue]) -> JsonValue:
        """The result, whole or in part; see `Tool.call`."""
        self.check(ctx, arguments)
        try:
            return self._turns.recall(str(arguments["result"]), str(arguments.get("find", "")), RECALL_TOKENS_MAX)
        except KeyError:
            raise BadCall(f"there is no result {str(arguments['result'])[:20]!r}") from None
