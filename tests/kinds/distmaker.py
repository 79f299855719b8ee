"""Distributions made by hand, as installers lay them down: `*.dist-info` METADATA, RECORD, and what they name."""

import base64
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from workers.kinds.records import PackageRef

MIT = """MIT License

Copyright (c) 2020 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND.
"""
BSD3 = """Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions are met:

* Redistributions of source code must retain the above copyright notice.
* Redistributions in binary form must reproduce the above copyright notice.
* Neither the name of the copyright holder nor the names of its contributors may be used to
  endorse or promote products derived from this software without permission.
"""


@dataclass
class Ctx:
    """A worker's context that remembers what it was told."""

    reasons: tuple[str, ...] = ()
    idempotency_key: str | None = None
    run_id: str = "run-1"
    cancelled: bool = False
    logs: list[str] = field(default_factory=list)
    told: list[tuple[str, object]] = field(default_factory=list)

    def log(self, message: str) -> None:
        self.logs.append(message)

    def progress(self, fraction: float | None, message: str = "") -> None:
        assert fraction is None or 0 <= fraction <= 1

    def evidence(self, tool: str, result: object) -> None:
        self.told.append((tool, result))

    def read(self) -> str:
        return "\n".join(str(result) for _, result in self.told)


def record_digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def make(
    site: Path,
    name: str = "tiny",
    version: str = "1.0",
    *,
    headers: str = "",
    files: dict[str, str | bytes] | None = None,
    info_files: dict[str, str | bytes] | None = None,
    record: bool | str = True,
    metadata: bytes | None = None,
) -> PackageRef:
    """Write a distribution; `record` is False for none, or RECORD's own text; `files` are relative to `site`."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    said = (
        metadata
        if metadata is not None
        else f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{headers}".encode()
    )
    written: dict[str, bytes] = {f"{info.name}/METADATA": said}
    for inner, content in (info_files or {}).items():
        written[f"{info.name}/{inner}"] = content.encode() if isinstance(content, str) else content
    for path, content in (files or {}).items():
        written[path] = content.encode() if isinstance(content, str) else content
    for path, data in written.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(data)
    if record is True:
        lines = [f"{path},{record_digest(data)},{len(data)}" for path, data in written.items()]
        (info / "RECORD").write_text("\n".join([*lines, f"{info.name}/RECORD,,"]) + "\n")
    elif record is not False:
        (info / "RECORD").write_text(record)
    return PackageRef(name=name, key=name.lower().replace("_", "-"), version=version, root=str(site), info=info.name)
