"""The text of one document: Markdown, plain text, HTML, PDF."""

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

DOCUMENT_BYTES_MAX: Final = 32 * 1024 * 1024
TEXT_CHARS_MAX: Final = 8 * 1024 * 1024
PDF_PAGES_MAX: Final = 2_000


class Unreadable(Exception):
    """A document has no text that can be had; the message says why."""


def text_of(path: Path) -> str:
    """The text of a document.

    Raises:
        Unreadable: too large, damaged, or of a kind that needs a library which is not installed.
    """
    try:
        size = path.stat().st_size
        if size > DOCUMENT_BYTES_MAX:
            raise Unreadable(f"it has {size} bytes, and {DOCUMENT_BYTES_MAX} are read")
        return _READERS[path.suffix.lower()](path).replace("\0", "")[:TEXT_CHARS_MAX]
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error


def _plain(path: Path) -> str:
    return path.read_text("utf-8", "replace")


class _Reader(HTMLParser):
    """Keeps text and headings; what no reader sees is dropped."""

    _SILENT: Final = frozenset({"script", "style", "noscript", "template", "svg", "head"})
    _BREAKS: Final = frozenset(
        {"p", "div", "section", "article", "li", "ul", "ol", "table", "tr", "br", "pre", "blockquote"}
    )
    _HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag begins."""
        if tag in self._SILENT:
            self._silent += 1
        elif tag in self._HEADINGS:
            self.parts.append("\n\n" + "#" * int(tag[1]) + " ")
        elif tag in self._BREAKS:
            self.parts.append("\n" if tag in {"br", "tr", "li"} else "\n\n")

    def handle_endtag(self, tag: str) -> None:
        """A tag ends."""
        if tag in self._SILENT:
            self._silent = max(self._silent - 1, 0)
        elif tag in self._HEADINGS or tag in self._BREAKS:
            self.parts.append("\n\n" if tag not in {"br", "tr", "li"} else "\n")
        elif tag in {"td", "th"}:
            self.parts.append("\t")

    def handle_data(self, data: str) -> None:
        """Text."""
        if not self._silent:
            self.parts.append(data)


def _html(path: Path) -> str:
    reader = _Reader()
    reader.feed(_plain(path))
    reader.close()
    return "".join(reader.parts)


def _pdf(path: Path) -> str:
    try:
        from pypdf import PdfReader  # an extra: most libraries hold none
        from pypdf.errors import PyPdfError
    except ImportError:
        raise Unreadable(
            "reading PDF needs the extra documents: pip install 'hierarchical-orchestrator[documents]'"
        ) from None
    try:
        pages = PdfReader(path).pages
        count = len(pages)
        if count > PDF_PAGES_MAX:
            raise Unreadable(f"it has {count} pages, and {PDF_PAGES_MAX} are read")
        return "\n\n".join(f"# Page {number}\n\n{page.extract_text()}" for number, page in enumerate(pages, start=1))
    except (PyPdfError, ValueError, KeyError, RecursionError) as error:
        raise Unreadable(f"the PDF is damaged or protected: {error}") from error


_READERS: Final[dict[str, Callable[[Path], str]]] = {
    ".md": _plain,
    ".markdown": _plain,
    ".txt": _plain,
    ".rst": _plain,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
}
SUFFIXES: Final = tuple(_READERS)
