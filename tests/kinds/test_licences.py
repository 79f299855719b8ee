"""Licences by metadata, by text, and the ladder between the two."""
# ruff: noqa: E501  # licence texts keep their lines

import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kinds.distmaker import BSD3, MIT, Ctx, make
from workers.kinds import licence_texts, licences, spdx
from workers.kinds.licence_texts import read_licence_files
from workers.kinds.packages import read_metadata
from workers.kinds.records import Licence, LicenceText, LicenceTexts, Metadata


def metadata(site: Path, **given: object) -> Metadata:
    return read_metadata(Ctx(), make(site, **given))  # type: ignore[arg-type]  # fields of a record made by hand


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("headers", "spdx_id", "source", "quote"),
    [
        ("License-Expression: mit or apache-2.0\n", "MIT OR Apache-2.0", "License-Expression", "mit or apache-2.0"),
        ("License: BSD 2-Clause License\n", "BSD-2-Clause", "License", "BSD 2-Clause License"),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: ISC License (ISCL)\n", "ISC", "Classifier", None),
    ],
)
async def test_metadata_that_names_one_licence_is_quoted(
    site: Path, ctx: Ctx, headers: str, spdx_id: str, source: str, quote: str | None
) -> None:
    found = await licences.identify_licence(ctx, metadata(site, headers=headers))

    assert (found.spdx, found.source) == (spdx_id, source)
    assert found.quote == (quote or "License :: OSI Approved :: ISC License (ISCL)")
    assert found.quote in ctx.read()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("headers", "note"),
    [
        ("", "metadata says nothing about the licence"),
        ("License: BSD\n", "metadata says only: BSD"),
        (
            "Classifier: License :: OSI Approved :: Apache Software License\n",
            "metadata says only: License :: OSI Approved :: Apache Software License",
        ),
    ],
)
async def test_metadata_that_leaves_it_open_is_not_guessed_at(site: Path, ctx: Ctx, headers: str, note: str) -> None:
    found = await licences.identify_licence(ctx, metadata(site, headers=headers))

    assert found == Licence(key="tiny", spdx="", risk="unclassified", source="metadata", note=note)


@pytest.mark.anyio
async def test_two_classifiers_are_both_taken_to_apply(site: Path, ctx: Ctx) -> None:
    headers = "Classifier: License :: OSI Approved :: MIT License\n"
    headers += "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)\n"

    found = await licences.identify_licence(ctx, metadata(site, headers=headers))

    assert (found.spdx, found.risk) == ("MIT AND GPL-3.0-only", "strong copyleft")


def test_the_text_alone_names_the_licence(site: Path, ctx: Ctx) -> None:
    package = metadata(site, info_files={"LICENSE": BSD3})

    found = licence_texts.identify_licence(ctx, package)

    assert found == Licence(
        key="tiny",
        spdx="BSD-3-Clause",
        risk="permissive",
        source="tiny-1.0.dist-info/LICENSE",
        line=1,
        quote="Redistribution and use in source and binary forms, with or without",
        note="100% of the licence's marks found",
    )
    assert found.quote in ctx.read()


def test_several_texts_are_all_taken_to_apply(site: Path, ctx: Ctx) -> None:
    found = licence_texts.identify_licence(ctx, metadata(site, info_files={"LICENSE.BSD": BSD3, "LICENSE.MIT": MIT}))

    assert found.spdx == "BSD-3-Clause AND MIT"
    assert found.note.endswith("several licence texts, and whether one may choose is not said")


def test_a_text_in_the_license_field_counts(site: Path, ctx: Ctx) -> None:
    folded = MIT.replace("\n", "\n        ")

    found = licence_texts.identify_licence(ctx, metadata(site, headers=f"License: {folded}\n", record=False))

    assert (found.spdx, found.source) == ("MIT", "License")


def test_a_text_that_matches_nothing_stays_unknown_and_repeats_why(site: Path) -> None:
    package = metadata(site, info_files={"COPYING": "You may do as you please on Tuesdays.\n"})

    found = licence_texts.identify_licence(Ctx(reasons=("metadata names none",)), package)

    note = "no text matches a known licence (read: tiny-1.0.dist-info/COPYING); before: metadata names none"
    assert found == Licence(key="tiny", spdx="", risk="unclassified", source="licence files", note=note)


def test_all_licence_files_are_read_with_what_else_they_hold(site: Path, ctx: Ctx) -> None:
    package = metadata(
        site,
        headers="License-File: LICENSE\nLicense-File: ../../etc/LICENSE\n",
        info_files={"licenses/LICENSE": MIT + "\n" + BSD3, "NOTICE": "thanks"},
        files={"tiny/license.py": "x = 1\n"},
    )

    assert read_licence_files(ctx, package) == LicenceTexts(
        key="tiny",
        files=[
            LicenceText(
                path="tiny-1.0.dist-info/licenses/LICENSE",
                bytes=len(MIT) + 1 + len(BSD3),
                spdx="MIT",
                score=1.0,
                line=5,
                quote="Permission is hereby granted, free of charge, to any person obtaining a copy",
                also=["BSD-3-Clause"],
            )
        ],
    )


def test_without_a_record_the_information_directory_is_searched(site: Path, ctx: Ctx) -> None:
    found = read_licence_files(ctx, metadata(site, info_files={"LICENSE.txt": MIT}, record=False))

    assert [(file.path, file.spdx) for file in found.files] == [("tiny-1.0.dist-info/LICENSE.txt", "MIT")]


def test_a_licence_inside_the_package_serves_where_there_is_no_other(site: Path, ctx: Ctx) -> None:
    found = licence_texts.identify_licence(ctx, metadata(site, files={"tiny/LICENSE": MIT}))

    assert (found.spdx, found.source) == ("MIT", "tiny/LICENSE")


def test_hostile_licence_files_are_skipped_by_name(
    site: Path, ctx: Ctx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(licence_texts, "TEXT_BYTES_MAX", 2000)
    (tmp_path / "passwd").write_text(MIT)
    package = metadata(
        site, info_files={"LICENSE.big": MIT + "x" * 5000, "LICENSE.odd": b"\xff\x00" + MIT.encode("utf-16")}
    )
    info = site / package.ref.info
    (info / "LICENSE.out").symlink_to(tmp_path / "passwd")
    (info / "LICENSE.loop").symlink_to(info / "LICENSE.loop")
    (info / "LICENSE.dir").mkdir()
    import os

    os.mkfifo(info / "LICENSE.pipe")
    names = ["LICENSE.big", "LICENSE.odd", "LICENSE.out", "LICENSE.loop", "LICENSE.dir", "LICENSE.pipe", "LICENSE.gone"]
    (info / "RECORD").write_text("".join(f"{info.name}/{name},,\n" for name in names))

    started = time.monotonic()
    found = read_licence_files(ctx, package)

    assert time.monotonic() - started < 1
    assert [(file.path.rpartition("/")[2], file.spdx) for file in found.files] == [
        ("LICENSE.big", "MIT"),
        ("LICENSE.odd", ""),
    ]
    where = f"{info.name}/LICENSE"
    # From Python 3.13 on a link to itself can be resolved, and is found out when it is opened.
    loop = "leads out of the environment" if sys.version_info < (3, 13) else "Too many levels of symbolic links"
    assert found.skipped == [
        f"{where}.big: only the first 2000 of {len(MIT) + 5000} bytes were read",
        f"{where}.out: leads out of the environment",
        f"{where}.loop: {loop}",
        f"{where}.dir: Is a directory",
        f"{where}.pipe: {info}/LICENSE.pipe is no regular file",
        f"{where}.gone: No such file or directory",
    ]


def test_at_most_twenty_licence_files_are_read(site: Path, ctx: Ctx) -> None:
    found = read_licence_files(ctx, metadata(site, info_files={f"LICENSE.{number:02}": MIT for number in range(25)}))

    assert (len(found.files), len(found.skipped)) == (20, 5)
    assert found.skipped[0] == "tiny-1.0.dist-info/LICENSE.20: more than 20 licence files"


TEXTS = {
    "Apache-2.0": "Apache License\n Version 2.0, January 2004\nTERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION\n"
    "3. Grant of Patent License. 5. Submission of Contributions.",
    "MPL-2.0": "Mozilla Public License Version 2.0\n Covered Software; Incompatible With Secondary Licenses; Larger Work",
    "ISC": "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby\n"
    "granted, provided that the above copyright notice and this permission notice appear in all copies. AS IS",
    "0BSD": "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted. AS IS",
    "GPL-3.0-only": "GNU GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007\n Conveying Modified Source Versions.",
    "AGPL-3.0-only": "GNU AFFERO GENERAL PUBLIC LICENSE\n Version 3, 19 November 2007\n Remote Network Interaction;",
    "Unlicense": "This is free and unencumbered software released into the public domain. AS IS",
    "BSD-2-Clause": BSD3.partition("* Neither")[0] + "THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS",
    "MIT-0": MIT.replace(
        "The above copyright notice and this permission notice shall be included in all\ncopies or substantial portions of the Software.",
        "",
    ),
}


@pytest.mark.parametrize("spdx_id", TEXTS)
def test_each_licence_is_told_from_its_neighbours(spdx_id: str) -> None:
    assert [match.spdx for match in spdx.classify(TEXTS[spdx_id])] == [spdx_id]


def test_comment_marks_and_line_breaks_do_not_hide_a_licence() -> None:
    text = "".join(f"#  {line}\r\n" for line in MIT.replace('"', "``").split("\n"))

    assert [(match.spdx, match.line) for match in spdx.classify(text)] == [("MIT", 5)]


@pytest.mark.parametrize(
    ("text", "canonical", "risk"),
    [
        ("mit", "MIT", "permissive"),
        ("MIT OR GPL-3.0-only", "MIT OR GPL-3.0-only", "permissive"),
        ("MIT AND (GPL-3.0-only OR MPL-2.0)", "MIT AND (GPL-3.0-only OR MPL-2.0)", "weak copyleft"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0", "weak copyleft"),
        ("LicenseRef-Own", "LicenseRef-Own", "unclassified"),
        ("MIT AND LicenseRef-Own", "MIT AND LicenseRef-Own", "unclassified"),
        ("MIT License", "", "unclassified"),
        ("MIT OR", "", "unclassified"),
        ("(MIT", "", "unclassified"),
        ("", "", "unclassified"),
        ("(" * 60 + "MIT" + ")" * 60, "", "unclassified"),
    ],
)
def test_expressions_are_read_by_their_grammar(text: str, canonical: str, risk: str) -> None:
    assert (spdx.expression(text), spdx.risk_of(text)) == (canonical, risk)


@given(st.text(max_size=400))
def test_any_text_is_classified_without_an_error(text: str) -> None:
    for match in spdx.classify(text + MIT):
        assert match.quote in text + MIT
        assert match.quote in (text + MIT).split("\n")[match.line - 1]
    spdx.expression(text)
    spdx.from_spoken(text)
