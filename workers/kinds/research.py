"""Pool `research`: an agent that answers from documents of this machine and quotes where each thing stands.

The folder is `ORCHESTRATOR_DOCUMENTS`, by default `docs`. `research_pool` makes a pool over another one.
"""

import os
from typing import Annotated, Final

from pydantic import Field

from orchestrator.errors import RetryableError
from workers.context import WorkContext
from workers.kinds.library import QUERY_CHARS_MAX, READ_PASSAGES_MAX, RESULTS_MAX, Library, Passage
from workers.kinds.records import Record
from workers.pool import Pool
from workers.tools import FunctionTool, ToolFailed, tool

FOLDER_VARIABLE: Final = "ORCHESTRATOR_DOCUMENTS"
DEFAULT_FOLDER: Final = "docs"
INSTRUCTIONS: Final = """You answer from documents, and from nothing else.
Search first, with the words that the documents would use; search again with other words before you say that something
is not there. Read on where a passage breaks off. Say only what a passage says. Name the document of each statement, by
its path as the tools give it. Where the documents say nothing, say so plainly."""


class Found(Record):
    """A passage, and how well it fits."""

    document: str  #: path below the folder
    passage: int
    heading: str
    text: str
    score: float = 0.0


class Answer(Record):
    """What the documents say."""

    passages: list[Found]
    unread: list[str]  #: documents that could not be read, with the reason


def _library() -> Library:
    """The library of the environment; one per folder and process, so that it is indexed once."""
    folder = os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER
    return _KNOWN.setdefault(folder, Library(folder))


_KNOWN: dict[str, Library] = {}


def _found(passage: Passage, score: float = 0.0) -> Found:
    return Found(
        document=passage.document,
        passage=passage.number,
        heading=passage.heading,
        text=passage.text,
        score=round(score, 3),
    )


def _unread(library: Library) -> list[str]:
    return [f"{name}: {why}" for name, why in sorted(library.unread.items())]


def research_tools(folder: str | None = None) -> tuple[FunctionTool, FunctionTool, FunctionTool]:
    """Tools over a folder of documents: search, read on, list. None: the folder of the environment."""
    fixed = None if folder is None else Library(folder)

    @tool
    def search_documents(
        query: Annotated[str, Field(min_length=1, max_length=QUERY_CHARS_MAX)],
        limit: Annotated[int, Field(ge=1, le=RESULTS_MAX)] = 5,
    ) -> Answer:
        """Find passages by words, best first. Gives the path of the document, the number of the passage, its text."""
        library = fixed or _library()
        found = [_found(passage, score) for score, passage in library.search(query, limit)]
        return Answer(passages=found, unread=_unread(library))

    @tool
    def read_document(
        document: str,
        start: Annotated[int, Field(ge=1)] = 1,
        count: Annotated[int, Field(ge=1, le=READ_PASSAGES_MAX)] = 3,
    ) -> Answer:
        """Read a document from a passage on; `document` is a path as search_documents gives it."""
        library = fixed or _library()
        try:
            return Answer(passages=[_found(one) for one in library.read(document, start, count)], unread=[])
        except KeyError:
            raise ToolFailed(f"there is no document {document[:200]!r}; search for it, or list them") from None

    @tool
    def list_documents() -> list[str]:
        """The paths of all documents, at most 500."""
        return (fixed or _library()).documents()[:500]

    return search_documents, read_document, list_documents


def research_pool(name: str, folder: str | None = None, *, tier: str = "standard", concurrency: int = 8) -> Pool:
    """A pool whose agent answers from the documents in `folder`; None: the folder of the environment.

    Beside `task` steps it has the function `search`, which needs no model.
    """
    pool = Pool(name, concurrency=concurrency)
    search, read, listing = research_tools(folder)
    pool.agent("answer", INSTRUCTIONS, tools=[search, read, listing], tier=tier)

    @pool.worker(name="search", isolation="thread")
    def look_up(ctx: WorkContext, query: str, limit: int = 5) -> Answer:
        """Passages that fit some words, without a model."""
        found = search.function(query=query, limit=limit)
        if not isinstance(found, Answer):
            raise RetryableError("the search gave no answer")
        ctx.evidence("search", found)
        return found

    return pool


research: Final = research_pool("research")
