"""Bad plans, each with where it must be refused and why. Read by test_hostile_plans.py."""

from dataclasses import dataclass

from orchestrator.plan.limits import PLAN_BYTES_MAX, STEPS_MAX

HEAD = "version: 1\nname: bad\n"
STEPS = f"{HEAD}steps:\n"
A = f"{STEPS}  a: {{pool: tools, call: size}}\n"  # a good step on line 4


@dataclass(frozen=True, slots=True)
class Hostile:
    """One bad plan."""

    kind: str  #: the family it belongs to
    text: str | bytes
    line: int  #: where it is refused
    reason: str  #: a part of the message


def step(body: str) -> str:
    """A good step `a` on line 4, and a step `b` on line 5 with this body in flow style."""
    return f"{A}  b: {{{body}}}\n"


def call(body: str) -> str:
    """As `step`, of a step that calls a function."""
    return step(f"pool: tools, call: size, {body}")


def rule(text: str) -> str:
    """A plan whose only rule is this text, on line 8."""
    return f"{A}  b:\n    pool: tools\n    call: size\n    checks: [rule: '{text}']\n"


def block(count: int, row: str, head: str = STEPS) -> str:
    """`row` with its number, `count` times."""
    return head + "".join(row.replace("#", str(number)) for number in range(count))


ALIASES = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 25))
HOSTILE: list[Hostile] = [
    # ---- the bytes
    Hostile("bytes", b"", 1, "the file is empty"),
    Hostile("bytes", b"\xff\xfe\x00", 1, "UTF-16"),
    Hostile("bytes", A.encode("utf-16"), 1, "UTF-16"),
    Hostile("bytes", A.encode("utf-16-be"), 1, "U+0000"),
    Hostile("bytes", A.encode() + b"  b: {task: \xc3(}\n", 5, "byte 0xc3 is not UTF-8"),
    Hostile("bytes", A.encode() + b"  b: {task: \xed\xa0\x80}\n", 5, "byte 0xed is not UTF-8"),
    Hostile("bytes", A.encode() + b"  b: {task: \xf8\x88\x80\x80\x80}\n", 5, "byte 0xf8 is not UTF-8"),
    Hostile("bytes", f"{A}  b: {{task: x\x00y}}\n", 5, "U+0000"),
    Hostile("bytes", f'{A}  b: {{task: "x\\0y"}}\n', 5, "U+0000"),
    Hostile("bytes", f"{A}  b: {{task: \ud800}}\n", 5, "U+D800"),
    Hostile("bytes", f"{A}  b: {{task: \udcff}}\n", 5, "U+DCFF"),
    Hostile("bytes", f'{A}  b: {{task: "\\udfff"}}\n', 5, "invalid Unicode"),
    Hostile("bytes", f"{A}  b: {{task: \x1b[2J}}\n", 5, "U+001B"),
    Hostile("bytes", f"{A}  b: {{task: x\u2028y}}\n", 5, "U+2028"),
    Hostile("bytes", f"{HEAD}\ufeffsteps: {{}}\n", 3, "U+FEFF"),
    Hostile("bytes", "\x00" * PLAN_BYTES_MAX, 1, "U+0000"),
    Hostile("bytes", b"\xff" * PLAN_BYTES_MAX, 1, "byte 0xff is not UTF-8"),
    Hostile("bytes", "#" * (PLAN_BYTES_MAX + 1), 1, "4,194,305 bytes"),
    Hostile("bytes", "é" * (PLAN_BYTES_MAX // 2 + 1), 1, "too large"),
    # ---- aliases, anchors, tags, merge keys, documents
    Hostile("alias", f"l0: &l0 [x]\n{ALIASES}", 1, "anchor"),
    Hostile("alias", f"{A}  b: &b {{plan: *b}}\n", 5, "anchor"),
    Hostile("alias", f"{A}  b: *a\n", 5, "alias"),
    Hostile("alias", f"{A}  *a : {{}}\n", 5, "alias"),
    Hostile("alias", "*a " * 300_000, 1, "alias"),
    Hostile("alias", f"{A}  b:\n    <<: {{pool: tools}}\n    call: size\n", 6, "merge keys"),
    Hostile("tag", f"{A}  b: {{task: !!python/object/apply:os.system [id]}}\n", 5, "python/object/apply:os.system"),
    Hostile("tag", f"{A}  b: {{task: !!python/name:os.system ''}}\n", 5, "python/name"),
    Hostile("tag", f"{A}  b: {{task: !include /etc/passwd}}\n", 5, "tag !include"),
    Hostile("tag", f"{A}  b: {{task: !!binary aGk=}}\n", 5, "binary"),
    Hostile("tag", f"{A}  b: !!set {{}}\n", 5, "set"),
    Hostile("tag", f"%TAG ! tag:evil,2000:\n---\n{A}", 1, "directives"),
    Hostile("tag", f"%YAML 1.1\n---\n{A}", 1, "directives"),
    Hostile("documents", f"{A}---\n{A}", 5, "second document"),
    Hostile("documents", "---\n" * 500_000, 2, "second document"),
    # ---- form: keys twice, unknown, of other kinds
    Hostile("duplicate", f"{A}  a: {{pool: tools, call: size}}\n", 5, "a stands here a second time"),
    Hostile("duplicate", f"{A}name: other\n", 5, "name stands here a second time"),
    Hostile("duplicate", call("call: size"), 5, "call stands here a second time"),
    Hostile("duplicate", f'{HEAD}"name": other\nsteps: {{}}\n', 3, "name stands here a second time"),
    Hostile("duplicate", "a: 1\n" * 300_000, 2, "a stands here a second time"),
    Hostile("unknown key", f"{A}stpes: {{}}\n", 5, "unknown key stpes"),
    Hostile("unknown key", call("check: []"), 5, "unknown key check"),
    Hostile("unknown key", call("on_fial: [gap]"), 5, "unknown key on_fial"),
    Hostile("unknown key", call("with_: {}"), 5, "unknown key with_"),
    Hostile("unknown key", call("timeout: {totel: 1s}"), 5, "unknown key totel"),
    Hostile("unknown key", call("checks: [{rule: x, then: y}]"), 5, "unknown key then"),
    Hostile("unknown key", call("import: os"), 5, "unknown key import"),
    Hostile("unknown key", f"{A}pools: evil.module\n", 5, "unknown key pools"),
    Hostile("unknown key", block(3_000, "k#: 1\n", A), 5, "unknown key k0"),
    Hostile("keys", f"{A}  1: {{}}\n", 5, "the key 1 is no text"),
    Hostile("keys", f"{A}  true: {{}}\n", 5, "the key true is no text"),
    Hostile("keys", f"{A}  ? [b]\n  : {{}}\n", 5, "a key is a collection"),
    Hostile("keys", f"{A}  ../b: {{goal: g}}\n", 5, "../b is no name"),
    Hostile("keys", f"{A}  {'b' * 65}: {{goal: g}}\n", 5, "is no name"),
    Hostile("keys", f"{A}  __proto__ x: {{goal: g}}\n", 5, "is no name"),
    # ---- form: values of other kinds
    Hostile("type", "- a\n", 1, "a plan is a mapping"),
    Hostile("type", f"{HEAD}steps: []\n", 3, "steps is an empty list"),
    Hostile("type", f"{HEAD}steps: {{}}\n", 3, "steps is an empty mapping"),
    Hostile("type", f"version: 2\n{A[11:]}", 1, "version is 2"),
    Hostile("type", call("early: yes"), 5, 'early is the text "yes"'),
    Hostile("type", call("on_fail: [{retry: on}]"), 5, 'retry is the text "on"'),
    Hostile("type", call("timeout: 12:30"), 5, 'timeout is the text "12:30"'),
    Hostile("type", call("timeout: {attempt: 12:30}"), 5, 'attempt is the text "12:30"'),
    Hostile("type", call("timeout: {attempt: -1s}"), 5, 'attempt is the text "-1s"'),
    Hostile("type", call("timeout: {attempt: 9999d}"), 5, "attempt is the text"),
    Hostile("type", call("retry: {backoff: 30s..1s}"), 5, "longer than the longest"),
    Hostile("type", call("join: {at_least: 0}"), 5, "at_least is 0"),
    Hostile("type", call("on_fail: [explode]"), 5, "on_fail[0] is the text"),
    Hostile("type", call("checks: [{rule: x, call: f}]"), 5, "found rule and call"),
    Hostile("type", step("goal: g, call: size"), 5, "found call and goal"),
    Hostile("type", step("pool: tools"), 5, "found none"),
    Hostile("type", step("task: t"), 5, "needs a pool"),
    Hostile("type", call("effect: {key: k}, human: {ask: q, choices: [x]}"), 5, "found call and human"),
    Hostile("type", step("pool: tools, task: t, effect: {key: k}"), 5, "effect goes with call"),
    # ---- numbers
    Hostile("number", f"{A}budget: {{usd: 1e999}}\n", 5, "too large"),
    Hostile("number", f"{A}budget: {{usd: .inf}}\n", 5, "no JSON number"),
    Hostile("number", f"{A}budget: {{usd: .nan}}\n", 5, "no JSON number"),
    Hostile("number", f"{A}budget: {{usd: -1}}\n", 5, "usd is -1"),
    Hostile("number", f"{A}budget: {{tokens: 99999999999999999999}}\n", 5, "too large"),
    Hostile("number", f"{A}budget: {{tokens: 9223372036854775807}}\n", 5, "tokens is 9223372036854775807"),
    Hostile("number", f"{A}budget: {{steps: 0x7f}}\n", 5, "not decimal"),
    Hostile("number", f"{A}budget: {{steps: 010}}\n", 5, "begins with a zero"),
    Hostile("number", f"{A}budget: {{usd: {'9' * 250_000}}}\n", 5, "too large"),
    Hostile("number", f"{A}budget: {{usd: 1e{'9' * 250_000}}}\n", 5, "too large"),
    Hostile("number", f"{A}budget: {{usd: 0.{'0' * 400}1}}\n", 5, "too small"),
    Hostile("number", call("foreach: {over: [1], max_parallel: 1000000000}"), 5, "max_parallel is 1000000000"),
    Hostile("number", call("on_fail: [{retry: 1000000}]"), 5, "retry is 1000000"),
    Hostile("number", call("checks: [{agree: {runs: 1000, quorum: 501}}]"), 5, "runs is 1000"),
    # ---- caps of depth, size and count
    Hostile("depth", "[" * 1_000_000, 1, "nested deeper than 40"),
    Hostile("depth", "{a: " * 1_000_000, 1, "nested deeper than 40"),
    Hostile("depth", "- " * 2_000_000, 1, "nested deeper than 40"),
    Hostile("depth", "{" * 2_000_000, 1, "a key is a collection"),
    Hostile("depth", call(f"with: {{x: {'[' * 50}{']' * 50}}}"), 5, "nested deeper than 40"),
    Hostile("depth", HEAD + "steps: {a: {plan: {name: b, " * 30, 3, "nested deeper than 40"),
    Hostile(
        "depth", f"{HEAD}{'steps: {a: {plan: {name: b, ' * 11}steps: {{a: {{goal: g}}}}{'}}}' * 11}\n", 3, "9 deep"
    ),
    Hostile("steps", block(STEPS_MAX + 1, "  s#: {goal: g}\n"), 3, "100,001 steps"),
    Hostile("steps", block(STEPS_MAX + 1, "  s#:\n    goal: g\n"), 3, "100,001 steps"),
    Hostile("count", "[" + "a," * 2_000_000 + "]", 1, "too many parts"),
    Hostile("count", "a\n" * 2_000_000, 1, "too many parts"),
    Hostile("count", call(f"checks: [{', '.join(['{rule: x}'] * 21)}]"), 5, "checks is a list of 21"),
    Hostile("count", call(f"on_fail: [{', '.join(['gap'] * 11)}]"), 5, "on_fail is a list of 11"),
    Hostile("count", f"{A}constraints: [{', '.join(['x'] * 101)}]\n", 5, "constraints is a list of 101"),
    Hostile("count", step(f"human: {{ask: q, choices: [{', '.join(f'c{n}' for n in range(21))}]}}"), 5, "a list of 21"),
    Hostile("size", step(f"pool: tools, task: {'x' * 70_000}"), 5, "task is the text"),
    Hostile("size", f"{A}description: {'x' * 300_000}\n", 5, "a text of 300,000 characters"),
    Hostile("size", f"{A}description: |\n" + "  x\n" * 300_000, 5, "a text of 600,000 characters"),
    Hostile("size", call("with: {x: '" + "y" * 3_000_000 + "'}"), 5, "a text of 3,000,000 characters"),
    # ---- expressions: not quoted, not closed, out of the language, too large
    Hostile("flow", call("with: {x: ${{ steps.a.output }}}"), 5, "an expression is not quoted"),
    Hostile("flow", call("with: {x: {{ steps.a.output }}}"), 5, "a key is a collection"),
    Hostile("flow", f'{A}  b:\n    goal: ${{{{ steps["x: y"] }}}}\n', 6, "a colon and a blank"),
    Hostile("expression", call('with: {x: "${{ steps.a.output"}'), 5, "not closed"),
    Hostile("expression", call('with: {x: "${{ }}"}'), 5, "there is no expression"),
    Hostile("expression", call('with: {"${{ steps.a.output }}": 1}'), 5, "is no name"),
    Hostile("expression", call('with: {x: {"${{ steps.a.output }}": 1}}'), 5, "a key cannot hold an expression"),
    Hostile("expression", rule('__import__("os").system("id")'), 8, "the functions are"),
    Hostile("expression", rule("output.__class__.__bases__"), 8, "two underscores"),
    Hostile("expression", rule("().__class__"), 8, "two underscores"),
    Hostile("expression", rule('eval("1")'), 8, "the functions are"),
    Hostile("expression", rule('open("/etc/passwd")'), 8, "the functions are"),
    Hostile("expression", rule("(lambda: 1)()"), 8, "the functions are"),
    Hostile("expression", rule("[x for x in output]"), 8, "no comprehensions"),
    Hostile("expression", rule('f"{output}"'), 8, "a letter and a text"),
    Hostile("expression", rule('"{0.__class__}".format(output)'), 8, "the functions are"),
    Hostile("expression", rule("output = 1"), 8, "nothing can be assigned"),
    Hostile("expression", rule("(x := 1)"), 8, "nothing can be assigned"),
    Hostile("expression", rule("9**9**9"), 8, "no powers"),
    Hostile("expression", rule("1 << 999999999"), 8, "no shifts"),
    Hostile("expression", rule("(" * 300 + "1" + ")" * 300), 8, "brackets inside brackets"),
    Hostile("expression", rule("not " * 400 + "true"), 8, "nested deeper"),
    Hostile("expression", rule("+".join(["1"] * 500)), 8, "more than 200 parts"),
    Hostile("expression", rule("x" * 3_000), 8, "longer than 2,000 characters"),
    Hostile("expression", rule("9" * 100 + " > 1"), 8, "256 bits"),
    Hostile("expression", rule("1e999 > 1"), 8, "not finite"),
    Hostile("expression", call('if: "output; import os"'), 5, "cannot stand here"),
    Hostile("expression", call('if: "ｓteps.a.skipped"'), 5, "outside ASCII"),
    Hostile("expression", step('pool: tools, task: "' + "${{" * 20_000 + '"'), 5, "not closed"),
    Hostile("expression", step('pool: tools, task: "' + "${{ x " * 10_000 + '"'), 5, "not closed"),
    Hostile("expression", call('foreach: {over: "[0] * 1000000000"}'), 5, "cannot join a list and a number"),
    Hostile("expression", rule('len("a" * 1000000000) > 1'), 8, "cannot join a text and a number"),
    # ---- references
    Hostile("reference", call('with: {x: "${{ steps.missing.output }}"}'), 5, "there is no step `missing`"),
    Hostile("reference", call('with: {x: "${{ stps.a.output }}"}'), 5, "stps"),
    Hostile("reference", call('with: {x: "${{ inputs.topic }}"}'), 5, "topic"),
    Hostile("reference", call('with: {x: "${{ steps.a.outptu }}"}'), 5, "outptu"),
    Hostile("reference", call('with: {x: "${{ run.secrets }}"}'), 5, "secrets"),
    Hostile("reference", call('with: {x: "${{ env.OPENAI_API_KEY }}"}'), 5, "env"),
    Hostile("reference", call('with: {x: "${{ output }}"}'), 5, "output"),
    Hostile("reference", call('with: {x: "${{ item }}"}'), 5, "item"),
    Hostile("reference", call('with: {x: "${{ steps.b.output }}"}'), 5, "refers to itself"),
    Hostile("reference", call("needs: [missing]"), 5, "there is no step `missing`"),
    Hostile("reference", call("needs: [b]"), 5, "waits for itself"),
    Hostile("reference", call("foreach: {each: missing}"), 5, "there is no step `missing`"),
    Hostile("reference", call("foreach: {each: a}"), 5, "is not mapped"),
    Hostile("reference", f"{A}result: ${{{{ steps.z.output }}}}\n", 5, "there is no step `z`"),
    Hostile("reference", call("foreach: {over: [1], as: steps}"), 5, "cannot name an item"),
    # ---- pools and functions
    Hostile("pool", step("pool: tolos, call: size"), 5, "there is no pool `tolos`"),
    Hostile("pool", step("pool: tools, call: os.system"), 5, "is no name"),
    Hostile("pool", step("pool: tools, call: system"), 5, "has no function `system`"),
    Hostile("pool", step("pool: tools, task: t"), 5, "has no agent"),
    Hostile("pool", call("on_fail: [{escalate: {pool: rroot}}]"), 5, "there is no pool `rroot`"),
    Hostile("pool", call("checks: [{call: system}]"), 5, "has no function `system`"),
    Hostile("pool", call("checks: [{call: size, pool: nowhere}]"), 5, "there is no pool `nowhere`"),
    Hostile("pool", call("with: {shell: id}"), 5, "takes no `shell`"),
    # ---- cycles
    Hostile("cycle", f"{STEPS}  a: {{goal: g, needs: [b]}}\n  b: {{goal: g, needs: [a]}}\n", 4, "wait for each other"),
    Hostile(
        "cycle",
        f'{STEPS}  a: {{goal: g, with: {{x: "${{{{ steps.c.output }}}}"}}}}\n  b: {{goal: g, needs: [a]}}\n'
        "  c: {goal: g, needs: [b]}\n",
        4,
        "a > b > c > a",
    ),
    Hostile(
        "cycle", block(500, "  s#: {goal: g, needs: [s%]}\n").replace("s%", "s499", 1).replace("s%", "s0"), 4, "wait"
    ),
    Hostile("cycle", call("if: steps.b.skipped"), 5, "refers to itself"),
    Hostile(
        "cycle", f"{STEPS}  a: {{goal: g, foreach: {{each: b}}}}\n  b: {{goal: g, foreach: {{each: a}}}}\n", 4, "wait"
    ),
    # ---- skips and gaps that nobody guards
    Hostile(
        "skip",
        f"{STEPS}  a: {{goal: g, if: run.steps > 1}}\n  b: {{goal: g, with: {{x: '${{{{ steps.a.output.y }}}}'}}}}\n",
        5,
        "may be null",
    ),
    Hostile(
        "skip",
        f"{STEPS}  a: {{goal: g, on_fail: [gap]}}\n  b: {{goal: g, with: {{x: '${{{{ steps.a.output }}}}'}}}}\n",
        5,
        "may be null",
    ),
    Hostile(
        "skip", f"{STEPS}  a: {{goal: g, on_fail: [gap]}}\n  b: {{goal: g, if: steps.a.output.ok}}\n", 5, "may be null"
    ),
    Hostile(
        "skip",
        f"{A}result: ${{{{ steps.f.output }}}}\n".replace("result", "  f: {goal: g, finally: true}\nresult"),
        6,
        "runs after",
    ),
    Hostile("never", call("if: 1 > 2"), 5, "can never run"),
    Hostile("never", call("if: false"), 5, "can never run"),
    Hostile("never", rule("false"), 8, "never holds"),
    Hostile("never", call("needs: [a], join: {at_least: 5}"), 5, "5"),
    Hostile("never", call("join: any"), 5, "nothing to join"),
    # ---- types that clash
    Hostile("clash", call('foreach: {over: "inputs"}'), 5, "`over` needs a list"),
    Hostile("clash", call('foreach: {over: "1 + 1"}'), 5, "needs a list"),
    Hostile("clash", call('if: "len(steps.a.attempts)"'), 5, "len"),
    Hostile("clash", rule("1 + 1"), 8, "this gives a number"),
    Hostile("clash", rule('run.cost_usd > "2"'), 8, ">"),
    Hostile("clash", rule('run.id + 1 == "x"'), 8, "+"),
    Hostile("clash", f"{A}inputs: {{n: {{type: integer, default: x}}}}\n", 5, "default"),
    Hostile("clash", call("with: {n: text}"), 5, "does not take this `n`"),
    # ---- JSON Schemas
    Hostile("schema", call("output: {type: strnig}"), 5, "JSON Schema is refused"),
    Hostile("schema", call('output: {"$ref": "https://example.org/s.json"}'), 5, "refused"),
    Hostile("schema", call('output: {"$ref": "file:///etc/passwd"}'), 5, "refused"),
    Hostile("schema", call("output: {type: string, pattern: '(a+)+$(?=x)'}"), 5, "refused"),
    Hostile("schema", call("output: {type: string, pattern: '(a{1000}){1000}'}"), 5, "refused"),
    Hostile("schema", call("output: {not: {}}"), 5, "allows no value"),
    Hostile("schema", call("output: {required: [x], additionalProperties: false, properties: {y: {}}}"), 5, "x"),
    Hostile("schema", call("output: {minimum: text}"), 5, "refused"),
    # ---- sub-plans
    Hostile("sub-plan", step("plan: /etc/passwd"), 5, "cannot name sub-plan files"),
    Hostile("sub-plan", step("plan: {name: q, steps: {z: {goal: g, needs: [a]}}}"), 5, "there is no step `a`"),
    Hostile("sub-plan", step("plan: {name: q, steps: {}}"), 5, "steps is an empty mapping"),
    Hostile("sub-plan", step("plan: {name: q, stps: {}}"), 5, "unknown key stps"),
]
