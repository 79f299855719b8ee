"""What is fuzzed: every place where text of strangers becomes data, and what must hold of what it becomes."""

import json
from contextlib import suppress
from typing import Any

from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import ValidationError

from orchestrator.adapters.openai.faults import translated
from orchestrator.adapters.openai.replies import ReplyReader
from orchestrator.adapters.redis import codec
from orchestrator.adapters.redis.dead import _letter
from orchestrator.adapters.redis.wire import entries_of
from orchestrator.core import facts as f
from orchestrator.core.codec import encode
from orchestrator.engine.translate import input_of
from orchestrator.errors import ExpressionError, OrchestratorError, PlanError
from orchestrator.ids import JsonValue, PoolName
from orchestrator.models.output import Faulty, judge
from orchestrator.plan.check import check_plan
from orchestrator.plan.compiled import compile_plan
from orchestrator.plan.expressions import bare, compile_value, text_parts
from orchestrator.plan.files import dump_plan, parse_plan, read_plan
from orchestrator.plan.models import Plan, canonical_json
from orchestrator.plan.patch import read_patch
from orchestrator.ports import tasks as t
from orchestrator.ports.endpoint import ChatReply
from orchestrator.ports.model import Message, Prompt, ToolSpec
from orchestrator.ports.model_errors import ModelError
from tests.core.bench import Bench, plan_of
from tests.fuzz.fuzzer import Target
from tests.plan.expression_cases import SCOPE


def plan_text(data: bytes) -> None:
    """A plan file, in YAML or JSON: what is read is checked, compiled and written, and is the same plan again."""
    source = read_plan(data, "fuzz.plan.yaml")
    if not check_plan(source.plan, None, source.sources).errors:
        compile_plan(source.plan)
        assert parse_plan(dump_plan(source.plan)).digest == source.plan.digest, "the text says another plan"


def plan_data(data: bytes) -> None:
    """A plan in the body of a request."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PlanError(()) from error  # the gate of the service refuses it before anybody asks for a plan
    plan = Plan.model_validate(said, by_alias=True, by_name=False)
    check_plan(plan)
    assert Plan.model_validate(json.loads(canonical_json(plan.canonical()))).digest == plan.digest


def patch_text(data: bytes) -> None:
    """A patch file."""
    patch = read_patch(data)
    assert read_patch(canonical_json(patch.canonical())).digest == patch.digest


def expression(data: bytes) -> None:
    """An expression, and a text that holds some, over data."""
    text = data.decode(errors="surrogateescape")
    for made in (lambda: bare(text).evaluate(SCOPE), lambda: compile_value([text, {"a": text}]).resolve(SCOPE)):
        try:
            canonical_json(made())
        except ExpressionError as error:
            str(error)
    text_parts(text)


def entry(data: bytes) -> None:
    """An entry of a stream: tag, then key, then body, a line each. Whatever it is, it is a message or undecodable."""
    tag, _, rest = data.partition(b"\n")
    key, _, body = rest.partition(b"\n")
    for read in (lambda: codec.task_of(body), lambda: codec.key_of(key)):
        with suppress(codec.Undecodable):
            read()
    fields = [b"k", key, b"b", body, b"l", tag, b"n", tag, b"a", tag]
    _letter(PoolName("p"), "1-0", entries_of([[b"s", [[b"1-0", fields]]]])["s"][0][1], whole=True)
    message = codec.message_of(tag.decode(errors="replace"), body)
    if isinstance(message, t.TaskMessage):
        _told(message)


SCORED = plan_of({"a": {"checks": [{"call": "look"}]}, "b": {"with": {"x": "${{ steps.a.output }}"}}})


def _told(message: t.TaskMessage) -> None:
    """A word of a worker reaches the run it speaks of: the machine takes it, drops it, or says what is wrong with it.

    What it takes can be journaled and breaks no invariant (the bench looks), and after what it refuses the true answer
    still counts.
    """
    bench = Bench(SCORED)
    if message.key.purpose == "check":
        bench.done("a", 1)
    before = len(bench.all)
    event = input_of(message, bench.machine.state, 1.0)
    if event is None:
        return
    try:
        bench.tell(event)
    except OrchestratorError as error:
        str(error)
        assert len(bench.all) == before
        if message.key.purpose == "work":
            bench.done("a", 1)
            assert isinstance(bench.made[0], f.StepProduced)
        return
    for fact in bench.made:
        encode(fact, 1)


TOOLS = (ToolSpec(name="send", description="Sends.", parameters={"type": "object"}),)
ANSWER: dict[str, JsonValue] = {
    "type": "object",
    "required": ["items"],
    "properties": {"items": {"type": "array", "items": {"type": "integer", "minimum": 0}}, "name": {"type": "string"}},
    "additionalProperties": False,
}
PROMPT = Prompt(tier="standard", messages=(Message(role="user", content="x"),), tools=TOOLS, output_schema=ANSWER)


def _judged(reply: ChatReply) -> None:
    found = judge(PROMPT, reply, "m")
    if isinstance(found, Faulty):
        assert all(len(message.content) <= 30_000 for message in found.told), "what goes back to the model is bounded"
        raise found.error


def chat(data: bytes) -> None:
    """A whole answer of a model's server, as the vendor's client makes objects of it: it checks no types."""
    _judged(_read([data], "message"))


def stream(data: bytes) -> None:
    """A streamed answer: a chunk a line, cut where the data end."""
    _judged(_read(data.split(b"\n"), "delta"))


def _read(parts: list[bytes], key: str) -> ChatReply:
    reader = ReplyReader("m", lambda text: None)
    kind: Any = ChatCompletion if key == "message" else ChatCompletionChunk
    try:
        for part in parts:
            said = json.loads(part)
            reader.read(kind.construct(**said) if isinstance(said, dict) else said, key)
        return reader.whole()
    except Exception as error:  # as the endpoint does
        raise translated(error, "m") from error


def answer(data: bytes) -> None:
    """What a model wrote where a schema asks for data."""
    _judged(ChatReply(text=data.decode(errors="replace"), finish="stop"))


PLAN_WORDS = (
    *(b"version: 1", b"steps:", b"pool: p", b"call: f", b"task: x", b"foreach:", b"${{ ", b" }}", b"inputs.x"),
    *(b"&a", b"*a"),
    *(b"!!python/object:os.system", b"<<: *a", b"? ", b"- ", b"---\n", b"...\n", b"%YAML 1.1\n", b"|\n", b">-\n"),
    *(b"#", b"\t"),
    *(b"checks:", b"on_fail:", b"retry:", b"replan: downstream", b"plan:", b"goal:", b"human:", b"12:30"),
    *(b"0o17", b"yes", b"1s..2s"),
)  # fmt: skip
EXPRESSION_WORDS = (
    *(b"inputs", b"steps", b"output", b".items", b"[0]", b"[-1]", b" and ", b" or ", b"not ", b" in ", b" if "),
    *(b" else ", b"len("),
    *(b"sum(", b"sorted(", b"max(", b"any(", b"lambda:", b"for x in", b"**", b"//", b"%", b"<<", b"==", b"<"),
    *(b"* 9999999", b"('a' * "),
    *(b"__import__('os')", b".__class__", b"f'{", b"(", b")", b"[", b"]", b"{", b"}", b"${{", b"}}", b":=", b"@"),
    *(b"~", b"...", b"b''"),
)  # fmt: skip
ENTRY_WORDS = (
    *(
        b"done",
        b"failed",
        b"spend",
        b"called",
        b"tripped",
        b"offered",
        b"evidence",
        b'"attempt":',
        b'"branch":',
        b'"sample":',
    ),
    *(
        b'"key":',
        b'"output":',
        b'"usd":',
        b'"purpose":"check"',
        b'"verdict":',
        b'"check":1',
        b'"future":1,',
        b'"at_s":',
    ),
)
CHAT_WORDS = (
    *(
        b'"choices":',
        b'"delta":',
        b'"message":',
        b'"finish_reason":',
        b'"stop"',
        b'"tool_calls":',
        b'"index":',
        b'"function":',
    ),
    *(
        b'"content":',
        b'"usage":',
        b'"arguments":',
        b'"refusal":"no"',
        b'"name":"send"',
        b'"prompt_tokens":',
        b"data: [DONE]",
    ),
)
TARGETS = {
    target.name: target
    for target in (
        Target(name="yaml", feed=plan_text, words=PLAN_WORDS),
        Target(name="plan", feed=plan_data, words=PLAN_WORDS, refusals=(OrchestratorError, ValidationError)),
        Target(name="patch", feed=patch_text, words=PLAN_WORDS),
        Target(name="expression", feed=expression, words=EXPRESSION_WORDS),
        Target(name="entry", feed=entry, words=ENTRY_WORDS, refusals=(codec.Undecodable, OrchestratorError)),
        Target(name="chat", feed=chat, words=CHAT_WORDS, refusals=(ModelError,)),
        Target(name="stream", feed=stream, words=CHAT_WORDS, refusals=(ModelError,)),
        Target(
            name="answer",
            feed=answer,
            words=(*CHAT_WORDS, b"```json\n", b"\n```", b'"items":'),
            refusals=(ModelError,),
        ),
    )
}
