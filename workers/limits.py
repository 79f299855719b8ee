"""Every cap of the workers package, named, with its unit."""

from typing import Final

ERROR_CHARS_MAX: Final = 2_000  #: message of a failed task; what a person reads at once
MESSAGE_CHARS_MAX: Final = 2_000  #: one progress or log message
NAME_CHARS_MAX: Final = 200  #: the id of a charge, the name of a tool
TOKENS_MAX: Final = 10**12  #: of one charge; what a plan may grant a whole run
FRAMES_MAX: Final = 3  #: frames of the worker's own code in a failure message
QUEUED_S: Final = 0.010  #: a task that waited longer reports when it really began
FETCH_MAX: Final = 32  #: tasks asked for at once; more would hold back tasks of a higher lane
IDLE_SERVERS_MAX: Final = 1024  #: parked coroutines per pool kept for the next wave; each is about 2 KiB
BURST: Final = 64  #: tasks one coroutine runs without giving the event loop a turn
CANCEL_S: Final = 5.0  #: cancelled tasks that are still cleaning up hold back the end of a drain this long
CHILD_IDLE_MAX: Final = 16  #: child processes per pool kept for the next task
CHILD_END_S: Final = 2.0  #: an idle child process has this long to end before it is killed
