"""What a try used: the server's numbers where they are possible, an estimate where there are none."""

import json
from typing import Final

from orchestrator.ports.endpoint import ChatReply, ChatRequest, Usage

#: A byte-level tokenizer makes at most one token of a byte and on real text one of three to five; three errs high.
BYTES_PER_TOKEN: Final = 3
TOKENS_PER_MESSAGE: Final = 8  #: what a chat template puts around each
#: Numbers beyond these are no usage of this call: a template may add a system prompt, and thinking is counted apart.
TEMPLATE_TOKENS_MAX: Final = 4_096
THINKING_FACTOR_MAX: Final = 8


def prompt_bytes(request: ChatRequest) -> int:
    """The size of all that the model reads."""
    size = sum(
        len(message.content.encode(errors="replace"))
        + sum(len(call.name) + len(call.arguments.encode(errors="replace")) for call in message.tool_calls)
        for message in request.messages
    )
    for tool in request.tools:
        size += len(tool.name) + len(tool.description.encode(errors="replace")) + len(json.dumps(tool.parameters))
    if request.output_schema is not None:
        size += len(json.dumps(request.output_schema))
    return size


def tokens_in_estimate(request: ChatRequest, size_bytes: int) -> int:
    """Tokens that the prompt will be counted as, rather too many."""
    parts = len(request.messages) + len(request.tools)
    return -(-size_bytes // BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE * (parts + 1)


def reply_estimate(request: ChatRequest, reply: ChatReply, tokens_in: int) -> Usage:
    """The usage of a reply whose server said nothing, rather too much."""
    size = len(reply.text.encode(errors="replace"))
    size += sum(len(call.name) + len(call.arguments.encode(errors="replace")) for call in reply.tool_calls)
    out = -(-size // BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE * (1 + len(reply.tool_calls))
    return Usage(tokens_in=tokens_in, tokens_out=min(out, max(request.tokens_max, 1)))


def is_possible(usage: Usage, request: ChatRequest, size_bytes: int) -> bool:
    """Whether a server's numbers can be those of this call."""
    parts = len(request.messages) + len(request.tools) + 1
    most_in = size_bytes + TOKENS_PER_MESSAGE * parts + TEMPLATE_TOKENS_MAX
    most_out = THINKING_FACTOR_MAX * request.tokens_max + TEMPLATE_TOKENS_MAX
    return 0 <= usage.tokens_cached <= usage.tokens_in <= most_in and 0 <= usage.tokens_out <= most_out
