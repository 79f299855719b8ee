"""The embeddings port: texts as vectors whose cosine tells how alike they are."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Vector = tuple[float, ...]  #: of length one


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Vectors, one for each text, and what they took."""

    vectors: tuple[Vector, ...]
    tokens: int = 0
    usd: float = 0.0


class Embeddings(Protocol):
    """One model of embeddings."""

    @property
    def name(self) -> str:
        """Which model: vectors of different models are never compared."""
        ...

    @property
    def usd_per_million(self) -> float:
        """USD per million tokens; 0 where the model is free, as one on this machine is."""
        ...

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """The vectors of texts.

        Raises:
            ModelError: the model gave none.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections and memory."""
        ...


def packed(vector: Vector) -> bytes:
    """A vector as single floats, little end first, as servers and files keep it."""
    return array("f", vector).tobytes()


def unpacked(data: bytes) -> Vector:
    """The vector that `packed` wrote; ValueError: no whole number of floats."""
    found = array("f")
    found.frombytes(data)
    return tuple(found)
