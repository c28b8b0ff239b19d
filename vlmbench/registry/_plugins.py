"""Backends and readouts by name, described here and imported only when one is used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from vlmbench.registry._registry import Registry
from vlmbench.types import Problem, VlmbenchError

DISTRIBUTION = "vlmbench-gap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """Something that is imported when it is used, and can be listed without.

    Attributes:
        name: What specs call it.
        description: One line for listings.
        target: `module:attribute` that holds it.
        packages: Top-level modules it imports beyond the standard library.
        install: What to give to `pip install` where one of them is missing.
    """

    name: str
    description: str
    target: str
    packages: tuple[str, ...] = ()
    install: str = DISTRIBUTION

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that are not installed."""
        return tuple(name for name in self.packages if find_spec(name) is None)

    @property
    def remedy(self) -> str:
        """How to make it usable, or nothing where it is."""
        return f'pip install "{self.install}"' if self.missing else ""

    def load(self) -> Any:
        """Import it.

        Raises:
            VlmbenchError: A package is missing, or the target does not exist.
        """
        if self.missing:
            message = f"`{self.name}` needs {', '.join(self.missing)}, not installed here"
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
    ),
    Plugin(
        name="openai",
        description="A model behind any OpenAI-compatible server: hosted, vLLM, SGLang, ...",
        target="vlmbench.models.openai:OpenAIBackend",
        packages=(*_TORCH, "httpx2"),
        install=f"{DISTRIBUTION}[openai]",
    ),
    Plugin(
        name="vllm",
        description="Any checkpoint of transformers that vLLM runs, in its offline engine.",
        target="vlmbench.models._vllm:VllmBackend",
        packages=(*_TORCH, "vllm"),
        install=f"{DISTRIBUTION}[vllm]",
    ),
    Plugin(
        name="recorded",
        description="Numbers measured elsewhere: humans, or a paper's table.",
        target="vlmbench.readouts:read_recorded",
    ),
    Plugin(
        name="rules",
        description="Cheap rules without weights: position, raw pixels, order or wording.",
        target="vlmbench.readouts:read_rule",
        packages=("sklearn",),
    ),
)
READOUTS = (
    Plugin(
        name="prompted",
        description="The model is asked: choice likelihoods or generated text.",
        target="vlmbench.readouts:read_prompted",
        packages=_TORCH,
    ),
    Plugin(
        name="internals",
        description="The prompted readout, with hidden states and attention of the language model.",
        target="vlmbench.readouts:read_internals",
        packages=_TORCH,
    ),
    Plugin(
        name="encoder",
        description="The model's own vision encoder is asked directly, by the task's probe.",
        target="vlmbench.readouts:read_encoder",
        packages=_TORCH,
    ),
    Plugin(
        name="recorded",
        description="Numbers measured elsewhere are taken as they are.",
        target="vlmbench.readouts:read_recorded",
    ),
    Plugin(
        name="rule",
        description="A cheap rule answers, without any model.",
        target="vlmbench.readouts:read_rule",
        packages=("sklearn",),
    ),
)


def backends() -> Registry[Plugin]:
    """Return every backend: ours, and those other packages name as `vlmbench.backends`."""
    return _registry("backend", (*BACKENDS, *_foreign("vlmbench.backends")))


def readouts() -> Registry[Plugin]:
    """Return every readout."""
    return _registry("readout", READOUTS)


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
