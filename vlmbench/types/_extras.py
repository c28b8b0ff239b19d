"""Packages that a plain install leaves out, each named by an extra of ours."""

from __future__ import annotations

from importlib.util import find_spec

from vlmbench.types._errors import Problem, VlmbenchError

DISTRIBUTION = "vlmbench-gap"
"""What this package is called where packages are installed from."""


def require_extra(module: str, extra: str, what: str) -> None:
    """Refuse what cannot be done without an extra.

    Args:
        module: What is about to be imported.
        extra: The extra that brings it.
        what: What needs it, as the beginning of a sentence.

    Raises:
        VlmbenchError: If the module is not installed.
    """
    if find_spec(module) is None:
        message = f"{what} needs {module}, which is not installed"
        remedy = f'pip install "{DISTRIBUTION}[{extra}]"'
        raise VlmbenchError(Problem(message=message, remedy=remedy))
