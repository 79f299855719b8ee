"""The pools that every architecture runs in: agents, verifiers, and a desk for what needs no thinking.

They hold public tasks and an agent. No grader and no right answer is reachable from here but through a simulated agent,
which is its own world.
"""

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from benchmarks.architectures.model import Agent, Case, Claims, Reply, Request
from orchestrator.ids import JsonValue
from workers import Pool, WorkContext

CONCURRENCY: Final = 1_000  #: simulated agents need no slot of their own
VOTES_MAX: Final = 500  #: questions of one step that asks until an answer leads
_TRY: Final = re.compile(r"^try (\d+):")


def attempt_of(reasons: tuple[str, ...]) -> int:
    """1 + refusals so far, from what a verifier wrote: an attempt that was lost with its worker does not count."""
    tries = [int(found[1]) for reason in reasons if (found := _TRY.match(reason))]
    return max(tries, default=0) + 1


def request_of(
    ctx: WorkContext,
    request: Mapping[str, JsonValue],
    known: Claims,
    peers: tuple[Claims, ...],
    reasons: tuple[str, ...],
) -> Request:
    """What a plan asks, with what the engine adds: the tier of the ladder, and the reasons of a refusal."""
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in request.items()}
    if ctx.tier is not None:
        given["tier"] = ctx.tier
    return Request(
        **given,  # type: ignore[arg-type]  # plans of this package name fields of Request
        known=known,
        peers=peers,
        attempt=attempt_of(reasons),
        reasons=reasons,
    )


def merged(outputs: list[JsonValue]) -> Claims:
    """All claims of some outputs; the first to claim a step is heard."""
    found: Claims = {}
    for output in outputs:
        claims = output.get("claims") if isinstance(output, dict) else None
        for unit, value in (claims if isinstance(claims, dict) else {}).items():
            found.setdefault(unit, value)
    return found


def turns_of(reply: Reply) -> list[JsonValue]:
    """The turns as plain data."""
    return [
        {
            "kind": turn.kind,
            "agent": turn.agent,
            "tokens_in": turn.tokens_in,
            "tokens_out": turn.tokens_out,
            "usd": turn.usd,
            "seconds": turn.seconds,
        }
        for turn in reply.turns
    ]


def agent_pools(
    agent: Agent,
    cases: Mapping[str, Case],
    *,
    concurrency: int = CONCURRENCY,
    books: bool = True,
    reserves: bool = False,
) -> list[Pool]:
    """The pools `agents`, `verifiers` and `desk`, for these tasks and this agent.

    `books` is for agents whose money nobody else books: a gateway settles its own reservations. With `reserves` such
    money is asked for first, so that a ceiling holds to the cent; it costs a turn of the engine per answer.
    """
    agents = Pool("agents", concurrency=concurrency)
    verifiers = Pool("verifiers", concurrency=concurrency)

    async def pay(ctx: WorkContext, reply: Reply) -> None:
        usd = sum(turn.usd for turn in reply.turns)
        tokens = sum(turn.tokens_in + turn.tokens_out for turn in reply.turns)
        if not books or not (usd or tokens):
            return
        if reserves:
            async with ctx.reserve(usd=usd, tokens=tokens) as held:
                held.settle(usd, tokens)
        else:
            ctx.cost(usd=usd, tokens=tokens)

    @agents.worker
    async def act(
        ctx: WorkContext,
        request: dict[str, JsonValue],
        inputs: list[JsonValue],
        peers: list[JsonValue],
    ) -> dict[str, JsonValue]:
        """Let the agent answer; its claims, the final answer they make, and its turns."""
        said = request_of(ctx, request, merged(inputs), tuple(merged([peer]) for peer in peers), ctx.reasons)
        reply = await agent.act(said, ctx)
        await pay(ctx, reply)
        case = cases[said.case]
        whole = {**said.known, **reply.claims} if said.role in {"solve", "synthesise"} else reply.claims
        return {
            "agent": said.agent,
            "claims": dict(reply.claims),
            "final": case.answer(whole),
            "refused": list(reply.refused),
            "needs": {unit: list(needs) for unit, needs in reply.needs.items()},
            "note": reply.note,
            "attempt": said.attempt,
            "turns": turns_of(reply),
        }

    deliberating(agents, agent, pay)

    @verifiers.worker
    async def verify(
        ctx: WorkContext,
        output: dict[str, JsonValue],
        request: dict[str, JsonValue],
        inputs: list[JsonValue],
        verifier: str,
    ) -> dict[str, JsonValue]:
        """Let the verifier look at an output; what it refuses, and its turn."""
        attempt = output["attempt"]
        assert isinstance(attempt, int), "written by `act`"
        asked = {name: value for name, value in request.items() if name not in {"role", "iterations", "planted"}}
        asked |= {"role": "verify", "verifier": verifier}
        claims = merged([output])
        said = request_of(ctx, asked, claims, (merged(inputs),), (f"try {attempt - 1}:",) if attempt > 1 else ())
        if missing := [unit for unit in said.units if claims.get(unit) is None]:
            refused: JsonValue = {"turns": [], "refused": list[JsonValue](missing)}
            return {
                "verdict": "fix",
                "reasons": [f"try {attempt}: no answer to {', '.join(missing)}"],
                "evidence": refused,
            }
        reply = await agent.act(said, ctx)
        await pay(ctx, reply)
        evidence: JsonValue = {"turns": turns_of(reply), "refused": list(reply.refused)}
        if not reply.refused:
            return {"verdict": "pass", "reasons": [], "evidence": evidence}
        reason = f"try {attempt}: not accepted: {', '.join(reply.refused)}{': ' + reply.note if reply.note else ''}"
        return {"verdict": "fix", "reasons": [reason[:1_000]], "evidence": evidence}

    return [agents, verifiers, desk_pool(cases)]


def deliberating(agents: Pool, agent: Agent, pay: Callable[[WorkContext, Reply], Awaitable[None]]) -> None:
    """Give a pool the functions that ask several times for one step: a panel, and votes until an answer leads."""

    async def asked_again(
        ctx: WorkContext, request: dict[str, JsonValue], inputs: list[JsonValue], **other: JsonValue
    ) -> tuple[Claims, Reply]:
        said = request_of(ctx, {**request, **other}, merged(inputs), (), ctx.reasons)
        reply = await agent.act(said, ctx)
        await pay(ctx, reply)
        return dict(reply.claims), reply

    @agents.worker
    async def panel(
        ctx: WorkContext, request: dict[str, JsonValue], inputs: list[JsonValue], peers: list[JsonValue], size: int
    ) -> dict[str, JsonValue]:
        """Ask `size` agents for the same steps; the commonest answers count, of equally common ones the first."""
        given = [await asked_again(ctx, request, inputs, agent=f"a{number}") for number in range(size)]
        chosen = commonest([claims for claims, _ in given])
        return _panelled(ctx, chosen, [reply for _, reply in given])

    @agents.worker
    async def ahead(
        ctx: WorkContext, request: dict[str, JsonValue], inputs: list[JsonValue], peers: list[JsonValue], lead: int
    ) -> dict[str, JsonValue]:
        """Ask until one answer leads all others by `lead` votes, at most VOTES_MAX times."""
        counts: Counter[str] = Counter()
        given: list[tuple[Claims, Reply]] = []
        while len(given) < VOTES_MAX:
            given.append(await asked_again(ctx, request, inputs, phase=f"vote {len(given)}"))
            counts[_text(list(given[-1][0].values()))] += 1
            best = counts.most_common(2)
            if best[0][1] - (best[1][1] if len(best) > 1 else 0) >= lead:
                break
        return _panelled(ctx, commonest([claims for claims, _ in given]), [reply for _, reply in given])


def desk_pool(cases: Mapping[str, Case]) -> Pool:
    """Joining answers by rule: no model is asked, and no turn is counted but the one the protocol names."""
    desk = Pool("desk", concurrency=CONCURRENCY)

    @desk.worker
    async def concatenate(ctx: WorkContext, outputs: list[list[JsonValue]]) -> dict[str, JsonValue]:
        """All answers, one after the other: nothing is compared."""
        turn: JsonValue = {"kind": "join", "agent": "desk"}
        return {"finals": [one["final"] for one in _flat(outputs)], "turns": [turn]}

    @desk.worker
    async def vote(ctx: WorkContext, outputs: list[list[JsonValue]]) -> dict[str, JsonValue]:
        """The commonest whole answer; of equally common ones the first submitted."""
        given = [one for one in _flat(outputs) if one["final"] is not None]
        if not given:
            return {"claims": {}, "final": None}
        texts = [_text(one["final"]) for one in given]
        counts = Counter(texts)
        chosen = max(range(len(given)), key=lambda at: (counts[texts[at]], -at))
        return {"claims": given[chosen]["claims"], "final": given[chosen]["final"]}

    @desk.worker
    async def vote_steps(ctx: WorkContext, case: str, outputs: list[list[JsonValue]]) -> dict[str, JsonValue]:
        """The commonest answer to each step; of equally common ones the first."""
        claims: Claims = {}
        for unit in cases[case].units:
            said = [one["claims"][unit.id] for one in _flat(outputs) if unit.id in one["claims"]]
            if said:
                counts = Counter(map(_text, said))
                claims[unit.id] = max(enumerate(said), key=lambda pair: (counts[_text(pair[1])], -pair[0]))[1]
        return {"claims": dict(claims), "final": cases[case].answer(claims)}

    @desk.worker
    async def first(ctx: WorkContext, outputs: list[list[JsonValue]]) -> dict[str, JsonValue]:
        """The first answer that passed; none when none did."""
        given = _flat(outputs)
        return {"claims": given[0]["claims"], "final": given[0]["final"]} if given else {"claims": {}, "final": None}

    @desk.worker
    async def last(ctx: WorkContext, outputs: list[list[JsonValue]]) -> dict[str, JsonValue]:
        """The last answer that was given."""
        one = _flat(outputs)[-1]
        return {"claims": one["claims"], "final": one["final"]}

    return desk


def commonest(given: list[Claims]) -> Claims:
    """The commonest whole set of claims; of equally common ones the first."""
    texts = [_text(dict(claims)) for claims in given]
    counts = Counter(texts)
    return given[max(range(len(given)), key=lambda at: (counts[texts[at]], -at))]


def _panelled(ctx: WorkContext, claims: Claims, replies: list[Reply]) -> dict[str, JsonValue]:
    return {
        "agent": "panel",
        "claims": dict(claims),
        "final": None,
        "note": f"try {attempt_of(ctx.reasons)}",
        "attempt": attempt_of(ctx.reasons),
        "turns": [turn for reply in replies for turn in turns_of(reply)],
    }


def _flat(outputs: list[list[JsonValue]]) -> list[dict[str, Any]]:
    return [one for passed in outputs for one in passed]  # type: ignore[misc]  # outputs of `act`


def _text(value: JsonValue) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
