"""JSON that strangers wrote."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from vlmbench.types._errors import Problem, VlmbenchError


def parse_json(text: str, *, file: str = "") -> Any:
    """Return what JSON says.

    Raises:
        VlmbenchError: If it is no JSON, holds NaN or infinity, or cannot be read for its depth or
            the digits of a number.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        problem = Problem(file=file, line=error.lineno, column=error.colno, message=error.msg)
    except RecursionError:
        problem = Problem(file=file, message="lists or objects are nested too deeply to be read")
    except ValueError as error:  # a constant, or a whole number of thousands of digits
        problem = Problem(file=file, message=str(error))
    raise VlmbenchError(problem)


def _refuse(constant: str) -> NoReturn:
    message = f"{constant} is not JSON"
    raise ValueError(message)
