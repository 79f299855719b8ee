"""Many ways to say one thing: turns of phrase and words that questions may differ in; for English."""

import re
from typing import Final

from orchestrator.models.cache.words import stem

#: Turns of phrase that say one thing, and words that say nothing; over small letters.
PHRASES: Final = tuple(
    (re.compile(pattern), instead)
    for pattern, instead in (
        (r"\b(?:um+|uh+|er+m?|yeah|hiya|cheers|ok(?:ay)?|hello|hi|hey)\b(?: team| there| all)?[,!:.]?", " "),
        (r"\b(?:many )?thanks(?: in advance)?\b|\bthank you\b|\bplease\b", " "),
        (r"\b(?:just wondering|quick (?:question|one))\b[,:]?", " "),
        (r"(\d)\s*([ap])\.?m\b\.?", r"\1\2m"),
        (r"\b(what|who|how|where|when|that|it|there)(?:'s|s)\b", r"\1 is"),
        (r"\b(?:can you|could you|would you)(?= (?:tell|show|give|explain|list|describe|summari[sz]e))", " "),
        (r"\bhow (?:can|could|would|should|may|must) (?:i|we|one|you)\b", "how do i"),
        (r"\bwho (?:can|should|must|do) i\b", "who do i"),
        (r"\bwhat (?:must|should|do) i do to\b", "how do i"),
        (r"\bwhat (?:is|are) the (?:best )?(?:ways?|steps?|method|process|procedure) (?:to|for|of)\b", "how do i"),
        (r"\bin (?:what|which) way\b|\bhow come\b", "how"),
        (r"\b(?:at|by) (?:what|which) (?:time|point|date)\b|\bwhat (?:time|date)\b", "when"),
        (r"\bin (?:what|which) year\b", "when"),
        (r"\b(?:in|at|to) (?:what|which) (?:place|address)\b", "where"),
        (r"\b(?:which|what) (?:person|people)\b", "who"),
        (r"\b(?:of|from|by|to) whom\b", "who"),
        (
            r"\bhow (?:much|high) (?:do|does|is|are|was|were|did) (?:it |that )?(?:costs?)?(?: to)?\b",
            "what is the cost ",
        ),
        (r"\b(?:is|are) (?:it )?(?:possible|allowed|fine|permitted)(?: for me| for us)?(?: to)?\b", "can"),
        (r"\b(is|are) (.{1,30}?) (?:allowed|permitted) to\b", r"can \2"),
        (r"\bhow (?:much|many)\b", "what"),
        (r"\b(?:is|are) required\b", "must"),
    )
)
_ALIKE: Final = (
    "shop store",
    "fast quick fastest quickest",
    "cost price fee charge",
    "increase raise",
    "choose select pick",
    "buy purchase",
    "big large",
    "fix repair",
    "phone telephone",
    "document paperwork",
    "holiday vacation",
    "parcel package",
    "film movie",
    "car vehicle",
    "doctor physician",
    "kid child",
    "company firm",
    "book reserve",
    "explain describe",
    "summarise summary summarize",
    "staff employee",
    "delete erase",
    "picture photo image",
    "answer reply response",
    "help assist",
    "drawback downside disadvantage",
    "benefit advantage",
    "replace replacement",
    "interact interaction",
    "depend dependency",
    "change update modify",
    "request ask",
    "begin start",
    "end finish",
    "enable activate",
    "contain include",
)
#: A stem by the stem of the first word that means the same.
SYNONYMS: Final[dict[str, str]] = {stem(word): stem(row.split()[0]) for row in _ALIKE for word in row.split()}
