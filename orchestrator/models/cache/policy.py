"""Which questions may be answered from the cache at all, whatever a plan says, and which kept answers are checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.ports.cache import CacheEntry, CacheMode
from orchestrator.ports.model import Prompt, Tier

DAY_S: Final = 86_400.0

#: The answer is another one tomorrow.
_TIME: Final = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|now|currently|right now|at the moment|as of|latest|recent(?:ly)?|"
    r"up[- ]to[- ]date|this (?:morning|afternoon|evening|week|month|quarter|year)|"
    r"(?:last|next|past|coming) (?:few )?(?:minutes?|hours?|days?|nights?|weeks?|weekends?|months?|quarters?|years?)|"
    r"what (?:time|day|date) is it|how long ago|since when)\b",
    re.IGNORECASE,
)
#: The same in other languages: the commonest words alone. One too many costs a call, one too few a wrong answer.
_TIME_ELSEWHERE: Final = re.compile(
    r"\b(?:heute|gestern|jetzt|derzeit|momentan|aktuelle?[nrs]?|aujourd['’]hui|demain|maintenant|actuellement|"
    r"hoy|ayer|ahora|actualmente|oggi|ieri|domani|adesso|attualmente|hoje|ontem|amanhã|agora|vandaag|gisteren|"
    r"dzisiaj|wczoraj|сегодня|вчера|сейчас|сьогодні|bugün|dün|şimdi)\b|"
    r"今天|今日|昨天|昨日|明天|明日|现在|現在|最新|오늘|어제|지금|اليوم|أمس|आज",
    re.IGNORECASE,
)
#: It is about one person: a mail address, a card or account number, a telephone number.
_PERSON: Final = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.]+|\b(?:\d[ -]?){13,19}\b|\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}\b|"
    r"(?<![\w.])\+\d[\d ()-]{7,}\d\b"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the host allows and how long answers hold."""

    tiers: Mapping[Tier, CacheMode] = field(default_factory=dict)  #: for steps that say nothing
    ttl_s: float = DAY_S
    stale_s: float = DAY_S / 4  #: from this age on, a share of the hits asks the model again
    verify: float = 0.05  #: that share, 0 to 1
    delta: float = 0.01  #: most wrong answers per question that is looked for by likeness
    similarity: float = 0.7  #: cosine below which an entry is not looked at
    version: str = ""  #: a part of every key: another one begins with an empty cache

    def mode_of(self, prompt: Prompt) -> CacheMode:
        """How a prompt may be answered: as its step says, else as its tier does."""
        if prompt.cache is None:
            return "none"
        return prompt.cache.mode if prompt.cache.mode is not None else self.tiers.get(prompt.tier, "none")


def unfit(prompt: Prompt) -> str:
    """Why the answer to a prompt may not be kept or served again; empty where nothing speaks against it."""
    use = prompt.cache
    asked = prompt.messages[-1].content if prompt.messages else ""
    text = (use.instruction if use is not None else "") or asked
    found = _TIME.search(text) or _TIME_ELSEWHERE.search(text)
    if found:
        return f"the answer depends on the time ({found[0].lower()})"
    said = [message.content for message in prompt.messages if message.role in {"user", "tool"}]
    if any(_PERSON.search(text) for text in said):
        return "the question is about one person"
    return ""


def stale(policy: Policy, entry: CacheEntry, now_s: float) -> bool:
    """Whether an entry is old enough to be asked again now and then."""
    return now_s - entry.stored_at_s >= policy.stale_s
