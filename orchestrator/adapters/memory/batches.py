"""Items and groups of the batch service in this process: gone with it."""

import secrets
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.ports.batches import BatchEntry, BatchGroup, BatchItem, ItemState


class MemoryBatches:
    """Answers the port `BatchStore` from dictionaries."""

    def __init__(self) -> None:
        self._entries: dict[str, BatchEntry] = {}
        self._groups: dict[str, BatchGroup] = {}

    async def put(self, item: BatchItem) -> BatchEntry:
        known = self._entries.get(item.id)
        if known is None or known.state == "withdrawn":
            known = BatchEntry(item=item)
        self._entries[item.id] = known = known.asked_again(item)
        return known

    async def look(self, ids: Sequence[str]) -> list[BatchEntry]:
        return [self._entries[one] for one in ids if one in self._entries]

    async def gather(self, line: str, *, owner: str, now_s: float, ripe_s: float, most: int) -> BatchGroup | None:
        by_model: dict[str, list[BatchEntry]] = {}
        for entry in self._entries.values():
            if entry.state == "waiting" and entry.item.line == line and entry.item.until_s > now_s:
                by_model.setdefault(entry.item.request.model, []).append(entry)
        for entries in by_model.values():
            if len(entries) >= most or any(one.item.asked_at_s <= ripe_s for one in entries):
                taken = entries[:most]
                group = BatchGroup(key=secrets.token_hex(16), line=line, owner=owner, at_s=now_s)
                self._groups[group.key] = group
                for one in taken:
                    self._entries[one.item.id] = replace(one, state="sent", group=group.key, sent=one.sent + 1)
                return replace(group, items=tuple(one.item for one in taken))
        return None

    async def groups(self, line: str) -> list[BatchGroup]:
        found = []
        for group in list(self._groups.values()):
            items = tuple(e.item for e in self._entries.values() if e.group == group.key and e.state == "sent")
            if not items:
                del self._groups[group.key]
            elif group.line == line:
                found.append(replace(group, items=items))
        return found

    async def claim(self, group: BatchGroup, *, owner: str, now_s: float, batch: str = "") -> bool:
        known = self._groups.get(group.key)
        if known is None or (known.owner, known.batch) != (group.owner, group.batch):
            return False
        self._groups[group.key] = replace(known, owner=owner, at_s=now_s, batch=batch or known.batch)
        return True

    async def settle(self, entries: Sequence[BatchEntry], was: ItemState) -> list[str]:
        written = []
        for entry in entries:
            known = self._entries.get(entry.item.id)
            if known is not None and known.state == was and known.group == entry.group:
                self._entries[entry.item.id] = entry
                written.append(entry.item.id)
        return written
