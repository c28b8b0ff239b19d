"""Backends and readouts by name, described here and imported only when one is used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from vlmbench.registry._registry import Registry
from vlmbench.spec import READOUTS, Readout, foreign_readouts
from vlmbench.types import DISTRIBUTION, Problem, VlmbenchError


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """Something that is imported only when it is used, and can be listed without importing it.

    Attributes:
        name: What specs call it.
        description: One line for listings.
        target: `module:attribute` that holds it.
        packages: Top-level modules it imports beyond the standard library.
        is_open: For a backend, whether it shows a model's tower and hidden states; None where that
            is to be asked of the class itself.
        install: What to give to `pip install` where one of them is missing.
    """

    name: str
    description: str
    target: str
    packages: tuple[str, ...] = ()
    is_open: bool | None = None
    install: str = DISTRIBUTION

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that are not installed."""
        return tuple(name for name in self.packages if find_spec(name) is None)

    @property
    def remedy(self) -> str:
        """How to make it usable; empty if it already is."""
        return f'pip install "{self.install}"' if self.missing else ""

    def shows_inside(self) -> bool:
        """Tell whether a backend shows its model's hidden states; may import it."""
        if self.is_open is not None:
            return self.is_open
        target = self.load()
        # A factory may return anything; what it returns is asked when the readout is taken.
        return not isinstance(target, type) or hasattr(target, "inspect")

    def load(self) -> Any:
        """Import it.

        Raises:
            VlmbenchError: A package is missing, or the target does not exist.
        """
        if self.missing:
            message = f"`{self.name}` needs {', '.join(self.missing)}, which is not installed"
            raise VlmbenchError(Problem(message=message, remedy=self.remedy))
        module, _, attribute = self.target.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            message = f"`{self.name}` cannot be imported from {self.target}: {error}"
            raise VlmbenchError(Problem(message=message)) from error


_TORCH = ("torch", "transformers")
BACKENDS = (
    Plugin(
        name="hf",
        description="Any image-text-to-text checkpoint of transformers.",
        target="vlmbench.models:HfBackend",
        packages=_TORCH,
        is_open=True,
    ),
    Plugin(
        name="openai",
        description="A model behind any OpenAI-compatible server: hosted, vLLM, SGLang, ...",
        target="vlmbench.models.openai:OpenAIBackend",
        packages=(*_TORCH, "httpx2"),
        is_open=False,
        install=f"{DISTRIBUTION}[openai]",
    ),
    Plugin(
        name="vllm",
        description="Any checkpoint of transformers that vLLM runs, in its offline engine.",
        target="vlmbench.models._vllm:VllmBackend",
        packages=(*_TORCH, "vllm"),
        is_open=False,
        install=f"{DISTRIBUTION}[vllm]",
    ),
)


def backends() -> Registry[Plugin]:
    """Return every backend: ours, and those other packages name as `vlmbench.backends`."""
    return _registry("backend", (*BACKENDS, *_foreign("vlmbench.backends")))


def readouts() -> Registry[Plugin]:
    """Return every readout: ours, and those other packages name as `vlmbench.readouts`."""
    return _registry(
        "readout", (_from_readout(found) for found in (*READOUTS, *foreign_readouts()))
    )


def _from_readout(readout: type[Readout]) -> Plugin:
    return Plugin(
        name=readout.kind_of(),
        description=(readout.__doc__ or "").partition("\n")[0],
        target=readout.implementation,
        packages=readout.packages,
    )


def _registry(what: str, plugins: Iterable[Plugin]) -> Registry[Plugin]:
    registry = Registry(what, ((plugin.name, plugin) for plugin in plugins), clash=_clash)
    if registry.problems:
        raise VlmbenchError(registry.problems)
    return registry


def _clash(name: str, first: Plugin, second: Plugin) -> Problem:
    message = f"`{name}` is both {first.target} and {second.target}"
    return Problem(message=message, remedy="Uninstall one of the packages that provide it.")


def _foreign(group: str) -> list[Plugin]:
    """Return the plugins of other installed packages, without importing them."""
    return [_from_entry_point(entry) for entry in entry_points(group=group)]


def _from_entry_point(entry: EntryPoint) -> Plugin:
    package = entry.dist.name if entry.dist else entry.module
    return Plugin(
        name=entry.name,
        description=f"From the package {package}.",
        target=f"{entry.module}:{entry.attr}",
        packages=(entry.module.partition(".")[0],),
        install=package,
    )
