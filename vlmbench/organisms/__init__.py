"""Organisms: tiny vision-language models that are really trained, and the recipes that make them.

Importing this package loads no torch; making or gating a model does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vlmbench.organisms._recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from vlmbench.organisms._card import with_gate
    from vlmbench.organisms._gate import as_json, gate, table
    from vlmbench.organisms._gate_rows import GateRow
    from vlmbench.organisms._loop import Progress
    from vlmbench.organisms._train import train
    from vlmbench.organisms._twin import teach

__all__ = [
    "GateRow",
    "Progress",
    "Recipe",
    "as_json",
    "gate",
    "load_recipe",
    "table",
    "teach",
    "train",
    "with_gate",
]

# What is imported when it is first asked for.
_HOME = {
    "_card": ("with_gate",),
    "_gate": ("as_json", "gate", "table"),
    "_gate_rows": ("GateRow",),
    "_loop": ("Progress",),
    "_train": ("train",),
    "_twin": ("teach",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
