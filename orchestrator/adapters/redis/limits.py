"""Every cap and period of the Redis transport, named, with its unit."""

from typing import Final

NAMESPACE: Final = "{orchestrator}"  #: in braces, so that all keys share one slot where slots matter
GROUP: Final = "workers"  #: the consumer group of every queue; scalers look at it too
LEASE_S: Final = 10.0  #: a task whose worker was not heard of for so long goes to another; independent of step length
BLOCK_S: Final = 0.5  #: longest blocking read of a queue; an ended lease is noticed within lease + this
READ_BLOCK_S: Final = 2.0  #: longest blocking read of a process's own stream
CALL_S: Final = 5.0  #: one command and its answer, blocking time not counted
CONNECT_S: Final = 3.0  #: to connect, per try
BACKOFF_S: Final = (0.05, 1.0)  #: between two tries while the server is away: first and longest
BATCH_MAX: Final = 256  #: tasks or messages in one script call, so that no call holds the server for long
BATCH_BYTES_MAX: Final = 1 << 20  #: their bytes together; one larger task or message goes alone
READ_MAX: Final = 512  #: messages read at once
INLINE_BYTES_MAX: Final = 32 << 10  #: a larger body lies beside its stream entry
BODY_BYTES_MAX: Final = 16 << 20  #: of one task or message
DELIVERIES_MAX: Final = 5  #: then a task is a dead letter, as a step is given up after so many lost workers
HOLD_AFTER: Final = 3  #: from so many deliveries on a task is held back for a while, doubling from one second
STREAM_KEEP_S: Final = 24 * 3600.0  #: a process's own stream, and large messages, are kept so long after the last word
OWNER_DEAD_S: Final = 15.0  #: an owner that was not heard of for so long is taken for dead
WORKER_GONE_S: Final = 600.0  #: a worker that holds nothing and was not heard of for so long is forgotten
SPARE_S: Final = 0.05  #: tasks whose taker went away wait so long for another one here
ASK_AGAIN_S: Final = 5.0  #: a question is put again while no answer comes: its owner may have been replaced
STOPS_MAX: Final = 4_096  #: entries remembered as cancelled before they arrived
DEAD_MAX: Final = 10_000  #: dead letters kept per pool; see fetch.lua and bury.lua
SAID_KEEP_S: Final = 5.0  #: last words are said again where the server forgets within so many seconds
SAID_MAX: Final = 4_096  #: last words remembered for that …
SAID_BYTES_MAX: Final = 4 << 10  #: … of at most so many bytes each
LEFT_WAIT_S: Final = 5.0  #: for the server to have what is left to other owners, before their words are read
LEFT_MAX: Final = 4_096  #: words kept for whoever drives their runs next
RECONCILE_S: Final = 3.0  #: between two questions whether all that was sent is still there
RECONCILE_MAX: Final = 200  #: tasks per such question
