"""A worker process of another release: `python -m tests.upgrade.other_release RELEASE URL NAMESPACE LEASE_S SLOTS LOG`.

`v0`, `v1`: it knows the fields that the golden messages of that version have, writes no other and reads no other.
`next`: it writes fields that head does not know into everything it says. All else is `tests.redis.worker_child`.
"""

import asyncio
import json
import sys

from orchestrator.adapters.redis import codec
from orchestrator.ports import tasks as t
from tests.redis import worker_child
from tests.upgrade.wire_goldens import known_fields


def become(release: str) -> None:
    """From now on this process speaks as that release did."""
    write, read_task, read_message = codec.message_bytes, codec.task_of, codec.message_of
    known = {} if release == "next" else known_fields(int(release[1:]))

    def cut(tag: str, body: bytes) -> bytes:
        said = json.loads(body)
        if release == "next":
            said |= {"a_field_of_tomorrow": [1, None]}
        else:
            said = {name: value for name, value in said.items() if name in known[tag]}
        return json.dumps(said).encode()

    def message_bytes(message: t.TaskMessage | t.OwnerRequest | t.OwnerReply) -> bytes:
        return cut(codec.tag_of(message), write(message))

    codec.message_bytes = message_bytes
    codec.task_of = lambda body: read_task(cut("task", body))
    codec.message_of = lambda tag, body: read_message(tag, cut(tag, body))


if __name__ == "__main__":
    become(sys.argv.pop(1))
    asyncio.run(worker_child.main())
