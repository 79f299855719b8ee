"""Licence names, licence texts and what they ask of a user: tables, and the functions that look things up in them.

Ids and the names behind them: the SPDX License List 3.27 and PEP 639 (expressions), the Trove classifiers of PyPI. The phrases are
the words by which each licence can be told from its neighbours; a match needs all `must`, no `never`, and enough of the rest.
"""
# ruff: noqa: E501  # tables: one row per licence reads best

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

SCORE_MIN: Final = 0.75  #: share of a licence's phrases that a text must hold
QUOTE_CHARS_MAX: Final = 200

RISKS: Final = (
    "public domain",
    "permissive",
    "weak copyleft",
    "strong copyleft",
    "network copyleft",
    "not open source",
    "unclassified",
)
RISK_MEANING: Final = {
    "public domain": "No conditions.",
    "permissive": "Keep the notices.",
    "weak copyleft": "Changes to the licensed files or library stay open; the rest of your work is yours.",
    "strong copyleft": "A work you distribute that contains it falls under the same licence.",
    "network copyleft": "As strong copyleft, and offering it as a network service counts too.",
    "not open source": "Use is limited by field, by time or by contract: read the terms.",
    "unclassified": "This audit does not know the licence: read it.",
}
_GROUPS: Final = {
    "public domain": "0BSD CC0-1.0 MIT-0 Unlicense WTFPL BlueOak-1.0.0",
    "permissive": "MIT X11 BSD-2-Clause BSD-3-Clause BSD-4-Clause ISC Apache-2.0 Apache-1.1 PSF-2.0 Python-2.0 CNRI-Python Zlib BSL-1.0 HPND "
    "NCSA UPL-1.0 ZPL-2.1 Artistic-2.0 CC-BY-4.0 OFL-1.1 Unicode-3.0 MulanPSL-2.0 AFL-3.0 W3C PostgreSQL curl",
    "weak copyleft": "MPL-1.1 MPL-2.0 LGPL-2.0-only LGPL-2.0-or-later LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later "
    "EPL-1.0 EPL-2.0 CDDL-1.0 EUPL-1.2",
    "strong copyleft": "GPL-2.0-only GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later CC-BY-SA-4.0",
    "network copyleft": "AGPL-3.0-only AGPL-3.0-or-later",
    "not open source": "SSPL-1.0 BUSL-1.1 Elastic-2.0 LicenseRef-Proprietary",
}
RISK_OF: Final = {spdx: risk for risk, ids in _GROUPS.items() for spdx in ids.split()}
_CANONICAL: Final = {spdx.lower(): spdx for spdx in RISK_OF}

#: Classifiers that name one licence. `BSD License` and `Apache Software License` do not (which clauses, which version?).
CLASSIFIERS: Final = {
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "The Unlicense (Unlicense)": "Unlicense",
    "zlib/libpng License": "Zlib",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "Eclipse Public License 1.0 (EPL-1.0)": "EPL-1.0",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
    "Universal Permissive License (UPL)": "UPL-1.0",
    "Blue Oak Model License (BlueOak-1.0.0)": "BlueOak-1.0.0",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "SIL Open Font License 1.1 (OFL-1.1)": "OFL-1.1",
    "University of Illinois/NCSA Open Source License": "NCSA",
    "Other/Proprietary License": "LicenseRef-Proprietary",
}

#: What people write in the older `License` field, squeezed by `_squeeze`.
_SPOKEN: Final = {
    "mit": "MIT", "expat": "MIT", "mitexpat": "MIT", "x11": "X11", "isc": "ISC", "iscl": "ISC", "zlib": "Zlib", "unlicense": "Unlicense",
    "apache20": "Apache-2.0", "apache2": "Apache-2.0", "apache20software": "Apache-2.0", "apachesoftware20": "Apache-2.0",
    "apacheversion20": "Apache-2.0", "asl20": "Apache-2.0", "al20": "Apache-2.0",
    "bsd3clause": "BSD-3-Clause", "3clausebsd": "BSD-3-Clause", "newbsd": "BSD-3-Clause", "modifiedbsd": "BSD-3-Clause", "bsd3": "BSD-3-Clause",
    "bsd2clause": "BSD-2-Clause", "2clausebsd": "BSD-2-Clause", "simplifiedbsd": "BSD-2-Clause", "bsd2": "BSD-2-Clause", "0bsd": "0BSD",
    "mpl20": "MPL-2.0", "mozillapublic20": "MPL-2.0", "mozillapublic20mpl20": "MPL-2.0", "mpl2": "MPL-2.0",
    "psf": "PSF-2.0", "psf20": "PSF-2.0", "psfl": "PSF-2.0", "pythonsoftwarefoundation": "PSF-2.0",
    "gplv2": "GPL-2.0-only", "gplv2+": "GPL-2.0-or-later", "gplv3": "GPL-3.0-only", "gplv3+": "GPL-3.0-or-later",
    "gpl20+": "GPL-2.0-or-later", "gpl30+": "GPL-3.0-or-later", "lgplv3": "LGPL-3.0-only", "lgplv3+": "LGPL-3.0-or-later",
    "lgplv21+": "LGPL-2.1-or-later", "lgpl21+": "LGPL-2.1-or-later", "lgpl30+": "LGPL-3.0-or-later",
    "agplv3": "AGPL-3.0-only", "agplv3+": "AGPL-3.0-or-later", "cc0": "CC0-1.0", "cc010": "CC0-1.0", "proprietary": "LicenseRef-Proprietary",
    "hpnd": "HPND", "zpl21": "ZPL-2.1", "wtfpl": "WTFPL", "boost10": "BSL-1.0", "boostsoftware10": "BSL-1.0",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Template:
    """The words of one licence, lower case, one space between words, `|` between spellings."""

    spdx: str
    must: tuple[str, ...]
    more: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    note: str = ""


_ONLY = "the text alone does not say `or later`"
_SOURCE, _BINARY = "redistributions of source code must retain", "redistributions in binary form must reproduce"
_BSD = "redistribution and use in source and binary forms"
_ENDORSE = (
    "endorse or promote products derived from this software|to endorse or promote products|used to endorse or promote"
)
_ADVERT = "all advertising materials mentioning features"
_AS_IS = "the software is provided as is"
_GRANT = "permission is hereby granted free of charge to any person obtaining a copy"
_KEEP = "the above copyright notice and this permission notice shall be included in all copies or substantial portions"
_KEEP = _KEEP + "|the above copyright notice and this permission notice including the next paragraph shall be included"
_ISC = (
    "permission to use copy modify and or distribute this software for any purpose with or without fee is hereby granted|"
    "permission to use copy modify and distribute this software for any purpose with or without fee is hereby granted"
)
_X11 = "except as contained in this notice the name"
TEMPLATES: Final = (
    Template("MIT", (_GRANT, _KEEP), ("to deal in the", _AS_IS + "|the materials are provided as is"), (_X11,)),
    Template("X11", (_GRANT, _KEEP, _X11), (_AS_IS,)),
    Template("MIT-0", (_GRANT, _AS_IS), ("to deal in the software without restriction",), ("this permission notice",)),
    Template("BSD-2-Clause", (_BSD, _SOURCE, _BINARY), ("provided by the|is provided as is",), (_ENDORSE, _ADVERT)),
    Template("BSD-3-Clause", (_BSD, _ENDORSE), (_SOURCE, _BINARY), (_ADVERT,)),
    Template("BSD-4-Clause", (_BSD, _SOURCE, _ADVERT), (_BINARY, _ENDORSE)),
    Template("ISC", (_ISC, "this permission notice appear in all copies|permission notice appear in all copies"), ("as is",)),
    Template("0BSD", (_ISC,), ("as is",), ("appear in all copies",)),
    Template("HPND", ("permission to use copy modify and distribute this software and its documentation for any purpose",), ("fee is hereby granted",)),
    Template(
        "Apache-2.0",
        ("apache license version 2 0 january 2004",),
        ("terms and conditions for use reproduction and distribution", "grant of patent license", "submission of contributions"),
    ),
    Template("Apache-2.0", ("licensed under the apache license version 2 0",), ("you may not use this file except in compliance with the license",), (
        "apache license version 2 0 january 2004",), "a notice that points to the licence, not its text"),
    Template("Apache-1.1", ("the apache software license version 1 1",), (_BSD,)),
    Template("MPL-2.0", ("mozilla public license version 2 0",), ("covered software", "incompatible with secondary licenses", "larger work")),
    Template("MPL-2.0", ("this source code form is subject to the terms of the mozilla public license v 2 0",), (), (
        "mozilla public license version 2 0",), "a notice that points to the licence, not its text"),
    Template("MPL-1.1", ("mozilla public license version 1 1",), ("covered code",)),
    Template("GPL-2.0-only", ("gnu general public license version 2 june 1991",), ("terms and conditions for copying",), (), _ONLY),
    Template("GPL-3.0-only", ("gnu general public license version 3 29 june 2007",), ("conveying modified source versions",), (), _ONLY),
    Template("LGPL-2.1-only", ("gnu lesser general public license version 2 1 february 1999",), ("work that uses the library",), (), _ONLY),
    Template("LGPL-3.0-only", ("gnu lesser general public license version 3 29 june 2007",), ("combined works",), (), _ONLY),
    Template("AGPL-3.0-only", ("gnu affero general public license version 3 19 november 2007",), ("remote network interaction",), (), _ONLY),
    Template("Python-2.0", ("beopen python open source license agreement version 1", "python software foundation license version 2"), (
        "cnri open source license agreement|cnri license agreement",)),
    Template("PSF-2.0", ("python software foundation license version 2|psf license agreement",), ("psf is making python available|psf is making",), (
        "beopen python open source license",)),
    Template("Unlicense", ("this is free and unencumbered software released into the public domain",), ("as is",)),
    Template("CC0-1.0", ("cc0 1 0 universal",), ("affirmer", "statement of purpose")),
    Template("Zlib", ("altered source versions must be plainly marked as such",), ("without any express or implied warranty", "must not be misrepresented")),
    Template("BSL-1.0", ("boost software license version 1 0",), ("machine executable object code",)),
    Template("EPL-1.0", ("eclipse public license v 1 0",), ("contributor",)),
    Template("EPL-2.0", ("eclipse public license v 2 0",), ("contributor",)),
    Template("EUPL-1.2", ("european union public licence v 1 2",), ("licensor",)),
    Template("ZPL-2.1", ("zope public license zpl version 2 1",), ("as is",)),
    Template("OFL-1.1", ("sil open font license version 1 1",), ("reserved font name",)),
    Template("Artistic-2.0", ("the artistic license 2 0",), ("standard version",)),
    Template("WTFPL", ("do what the fuck you want to public license",), ()),
    Template("NCSA", ("university of illinois ncsa open source license",), ("deal with the software",)),
    Template("UPL-1.0", ("universal permissive license",), ("larger works",)),
    Template("BlueOak-1.0.0", ("blue oak model license",), ("as far as the law allows",)),
    Template("CC-BY-4.0", ("attribution 4 0 international",), ("creative commons",), ("sharealike 4 0",)),
    Template("CC-BY-SA-4.0", ("attribution sharealike 4 0 international",), ("creative commons",)),
    Template("SSPL-1.0", ("server side public license",), ("offering the program as a service",)),
    Template("BUSL-1.1", ("business source license 1 1",), ("change date", "additional use grant")),
    Template("Elastic-2.0", ("elastic license 2 0",), ("hosted or managed service",)),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A licence found in a text."""

    spdx: str
    score: float  #: share of the template's phrases that occur, 0 to 1
    line: int  #: from 1
    quote: str  #: that line, verbatim, without the space around it, cut to `QUOTE_CHARS_MAX`
    note: str


class Words:
    """A text as words, with the way back to the place in the text."""

    def __init__(self, text: str) -> None:
        """`text` is any string; letters outside ASCII separate words."""
        self.text = text
        found = [(match.start(), match.group().lower()) for match in re.finditer(r"[A-Za-z0-9]+", text)]
        self.starts = [start for start, _ in found]
        self.offsets: list[int] = []
        position = 1
        for _, word in found:
            self.offsets.append(position)
            position += len(word) + 1
        self.joined = " " + " ".join(word for _, word in found) + " "

    def find(self, phrase: str) -> int | None:
        """Where in the text the phrase begins, whatever line breaks, quotes and stars lie between its words."""
        places = [place for option in phrase.split("|") if (place := self.joined.find(f" {option} ")) >= 0]
        return self.starts[bisect_right(self.offsets, min(places) + 1) - 1] if places else None


def line_at(text: str, place: int) -> tuple[int, str]:
    """Number (from 1) and words of the line that holds the character at `place`; lines end at a newline alone."""
    start = text.rfind("\n", 0, place) + 1
    end = text.find("\n", place)
    line = text[start : end if end >= 0 else len(text)].strip()
    return text.count("\n", 0, place) + 1, line[:QUOTE_CHARS_MAX].strip()


def classify(text: str) -> list[Match]:
    """The licences whose words `text` holds, in order of place. Linear in the length of the text."""
    words = Words(text)
    matches: dict[str, Match] = {}
    for template in TEMPLATES:
        places = [words.find(phrase) for phrase in template.must]
        if None in places or any(words.find(phrase) is not None for phrase in template.never):
            continue
        phrases = len(template.must) + len(template.more)
        held = len(template.must) + sum(words.find(phrase) is not None for phrase in template.more)
        if held / phrases >= SCORE_MIN or (held == 1 == len(template.must) and phrases == 1):
            number, quote = line_at(text, places[0] or 0)
            found = Match(
                spdx=template.spdx, score=round(held / phrases, 3), line=number, quote=quote, note=template.note
            )
            matches.setdefault(template.spdx, found)
    return sorted(matches.values(), key=lambda match: match.line)


def _squeeze(name: str) -> str:
    return re.sub(r"\blicen[cs]ed?\b|\bthe\b|\bunder\b|[^a-z0-9+]", "", name.lower())


def from_classifier(classifier: str) -> str:
    """The id that a Trove classifier names, or nothing where it leaves version or clauses open."""
    return CLASSIFIERS.get(classifier.rpartition(" :: ")[2], "") if classifier.startswith("License ::") else ""


def from_spoken(name: str) -> str:
    """The id or expression behind what a `License` field says; empty when it is not one of the known spellings."""
    if len(name) > QUOTE_CHARS_MAX or "\n" in name:
        return ""
    return expression(name, known_only=True) or _SPOKEN.get(_squeeze(name), "")


def expression(text: str, *, known_only: bool = False) -> str:
    """`text` as an SPDX expression with ids in their canonical spelling; empty when it is none.

    With `known_only`, every id must be in `RISK_OF`: free text such as "BSD" is then no expression.
    """
    read = _read(text, known_only)
    return read[0] if read else ""


def risk_of(text: str) -> str:
    """The group of `RISKS` of an expression: the lightest of an OR, the heaviest of an AND."""
    read = _read(text, known_only=False)
    return RISKS[read[1]] if read else "unclassified"


def _read(text: str, known_only: bool) -> tuple[str, int] | None:
    """Canonical expression and index into RISKS, by recursive descent: or > and > with > id or parentheses."""
    tokens = re.findall(r"[()]|[A-Za-z0-9.+:-]+", text)
    if not tokens or len(tokens) > 100 or re.sub(r"[()A-Za-z0-9.+:\s-]", "", text):
        return None
    place = 0

    def peek() -> str:
        return tokens[place] if place < len(tokens) else ""

    def chain(operator: str, depth: int) -> tuple[str, int] | None:
        nonlocal place

        def below() -> tuple[str, int] | None:
            return chain("AND", depth) if operator == "OR" else single(depth)

        left = below()
        while left and peek().upper() == operator:
            place += 1
            right = below()
            if not right:
                return None
            worse = max if operator == "AND" else min
            left = (f"{left[0]} {operator} {right[0]}", worse(left[1], right[1]))
        return left

    def single(depth: int) -> tuple[str, int] | None:
        nonlocal place
        word = peek()
        place += 1
        if word == "(":
            inner = chain("OR", depth + 1) if depth < 20 else None
            if not inner or peek() != ")":
                return None
            place += 1
            return (f"({inner[0]})", inner[1])
        if not word or word == ")" or word.upper() in ("AND", "OR", "WITH"):
            return None
        spdx = _CANONICAL.get(word.lower(), word)
        if spdx not in RISK_OF and (known_only or not re.search(r"[A-Za-z]", spdx)):
            return None
        level = RISKS.index(RISK_OF.get(spdx, "unclassified"))
        if peek().upper() == "WITH":
            place += 1
            exception = peek()
            place += 1
            if not exception or exception in "()":
                return None
            # A linking exception takes the edge off strong copyleft.
            return (f"{spdx} WITH {exception}", min(level, RISKS.index("weak copyleft")) if level == 3 else level)
        return (spdx, level)

    whole = chain("OR", 0)
    return whole if whole and place == len(tokens) else None
