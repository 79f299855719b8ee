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
PARKED_MAX: Final = 10_000  #: tasks of one pool that wait for others alone and take no place in it
#: An owner's word that an effect may begin counts so long from when it was asked for, well under a lease: a process
#: that was frozen before it heard of it asks again, as somebody else may have made the effect meanwhile …
ALLOWED_S: Final = 0.5
ALLOWED_ASKS_MAX: Final = 4  #: … but not for ever, where owners are slow
BURST: Final = 64  #: tasks one coroutine runs without giving the event loop a turn
CANCEL_S: Final = 5.0  #: cancelled tasks that are still cleaning up hold back the end of a drain this long
CHILD_IDLE_MAX: Final = 16  #: child processes per pool kept for the next task
CHILD_END_S: Final = 2.0  #: an idle child process has this long to end before it is killed

# ---- agents and their tools

TURNS: Final = 8  #: answers of a model in one attempt, where an agent says nothing else
TURNS_MAX: Final = 100
TOOLS_MAX: Final = 64  #: of one agent
TOOL_CALLS_MAX: Final = 8  #: that a model may ask for in one answer
MISTAKES_MAX: Final = 1  #: answers with an unknown tool or bad arguments that are handed back before the attempt fails
TOOL_S: Final = 30.0  #: one call of a tool, where it says nothing else
TOOL_RESULT_BYTES_MAX: Final = 64 * 1024  #: of one result; the rest is cut, and the model is told so
TOOL_ARGUMENTS_BYTES_MAX: Final = 64 * 1024
TOOL_TEXT_CHARS_MAX: Final = 1_024  #: the description of a tool
PROMPT_DATA_BYTES_MAX: Final = 512 * 1024  #: the inputs of a task, as they stand in a prompt
CONVERSATION_BYTES_MAX: Final = 2 * 1024 * 1024  #: everything said in one attempt
INSTRUCTIONS_CHARS_MAX: Final = 32_000  #: of an agent
ANSWER_TOKENS: Final = 4_096  #: of one answer, where an agent says nothing else
MODEL_S: Final = 120.0  #: one call of a model, where the attempt leaves more
SECRET_CHARS_MIN: Final = 4  #: shorter ones could not be told from other text when a tool repeats them
