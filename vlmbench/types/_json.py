"""JSON that strangers wrote."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from vlmbench.types._errors import Problem, VlmbenchError


def parse_json(text: str, *, file: str = "", remedy: str = "", finite: bool = True) -> Any:
    """Return what JSON says.

    Args:
        text: The JSON.
        file: Where it stands, for the error.
        remedy: What to do if it cannot be read.
        finite: Whether NaN and infinity, which Python writes, are refused.

    Raises:
        VlmbenchError: If it is no JSON, or cannot be read for its depth or the digits of a number.
    """
    line = column = None
    try:
        return json.loads(text, parse_constant=_refuse if finite else None)
    except json.JSONDecodeError as error:
        message, line, column = f"is not JSON: {error.msg}", error.lineno, error.colno
    except RecursionError:
        message = "is not JSON that can be read: lists or objects are nested too deeply"
    except ValueError as error:  # a constant, or a whole number of thousands of digits
        message = f"is not JSON that can be read: {error}"
    raise VlmbenchError(
        Problem(file=file, line=line, column=column, message=message, remedy=remedy)
    )


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}")
