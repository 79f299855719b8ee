"""Words of which two in one place make two questions opposites; for English."""

from typing import Final

from orchestrator.models.cache.words import stem

#: By stem. Two words of one row are opposites.
OPPOSITES: Final = {
    stem(word): row.split()[0]
    for row in (
        "enable disable",
        "rise fall rose fell increase decrease raise lower",
        "open close",
        "advantage disadvantage",
        "cheap expensive",
        "buy sell bought sold",
        "add remove",
        "send receive sent",
        "encrypt decrypt",
        "left right",
        "import export",
        "internal external",
        "accept decline reject",
        "won lost win lose",
        "front back",
        "hot cold",
        "start stop begin end",
        "high low",
        "safe dangerous",
        "new old",
        "subscribe unsubscribe",
        "good bad best worst",
        "near far",
        "fast slow",
        "long short",
        "big small large",
        "push pull",
        "lend borrow",
        "grant revoke",
        "allow deny block",
        "pass fail",
        "true false",
        "upload download",
        "credit debit",
        "client server",
        "public private",
        "legal illegal",
    )
    for word in row.split()
}
