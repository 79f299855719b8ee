"""A small model of embeddings in this process: ONNX weights and a tokenizer from a folder. Needs the extra `local`."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

from orchestrator.errors import PromiseError
from orchestrator.ports.embeddings import Embedded, Vector

if TYPE_CHECKING:
    import numpy as np

TOKENS_MAX: Final = 128  #: of one text; the model was trained on no more
BATCH_MAX: Final = 32  #: texts at once
WEIGHTS, TOKENIZER = "model.onnx", "tokenizer.json"


class LocalEmbeddings:
    """Mean-pooled token vectors of length one. The weights are read when the first text comes, in a thread."""

    usd_per_million: Final = 0.0

    def __init__(self, folder: Path) -> None:
        """Raises PromiseError: a file is not in the folder, or the extra is not installed."""
        for name in (WEIGHTS, TOKENIZER):
            if not (folder / name).is_file():
                raise PromiseError(
                    f"the model of embeddings has no {name} in {folder}",
                    "name the folder of model.onnx and tokenizer.json: ORCHESTRATOR_MODELS__CACHE__EMBEDDINGS__FOLDER",
                )
        for library in ("numpy", "onnxruntime", "tokenizers"):
            if find_spec(library) is None:
                raise PromiseError(
                    f"a local model of embeddings needs {library}", "pip install 'hierarchical-orchestrator[local]'"
                )
        self._folder = folder
        self._lock = anyio.Lock()
        self._loaded: tuple[Any, Any] | None = None  # libraries without types

    @property
    def name(self) -> str:
        """The folder's name: vectors of two models are never compared."""
        return f"local/{self._folder.name}"

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """See `Embeddings`. One text at a time takes about 5 ms of a core."""
        async with self._lock:
            return Embedded(vectors=await anyio.to_thread.run_sync(self._all, tuple(texts)))

    def _all(self, texts: tuple[str, ...]) -> tuple[Vector, ...]:
        found: list[Vector] = []
        for at in range(0, len(texts), BATCH_MAX):
            found += [tuple(map(float, row)) for row in self._batch(texts[at : at + BATCH_MAX])]
        return tuple(found)

    def _batch(self, texts: tuple[str, ...]) -> "np.ndarray[Any, Any]":
        import numpy as np

        session, tokenizer = self._load()
        encoded = tokenizer.encode_batch(list(texts))
        ids = np.array([one.ids for one in encoded], "i8")
        mask = np.array([one.attention_mask for one in encoded], "i8")
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = session.run(None, given)[0]
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        lengths = np.linalg.norm(mean, axis=1, keepdims=True)
        unit: np.ndarray[Any, Any] = mean / lengths
        return unit

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            import onnxruntime  # type: ignore[import-untyped]  # it has no types
            from tokenizers import Tokenizer

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            session = onnxruntime.InferenceSession(
                str(self._folder / WEIGHTS), options, providers=["CPUExecutionProvider"]
            )
            tokenizer = Tokenizer.from_file(str(self._folder / TOKENIZER))
            tokenizer.enable_truncation(max_length=TOKENS_MAX)
            tokenizer.enable_padding()
            self._loaded = session, tokenizer
        return self._loaded

    async def aclose(self) -> None:
        self._loaded = None
