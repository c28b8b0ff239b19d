"""Ending a run by Ctrl-C."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from vlmbench.cli._printing import warn

STOPPED = 130
"""The status of a process that was stopped by Ctrl-C, as shells have it."""

ResultT = TypeVar("ResultT")


def unless_stopped(work: Callable[[], ResultT], folder: Path) -> ResultT:
    """Return what work on a run's folder gives; on Ctrl-C end the program at once.

    All that is finished is on disk by then, so nobody waits for threads that prepare what is next.
    One line says how to go on.
    """
    with suppress(KeyboardInterrupt):
        return work()
    # Nothing holds any longer what the work held, such as locks that processes share.
    known = (folder / "request.json").is_file()
    how = f"go on with: vlmbench retry {folder}" if known else "nothing has been run yet"
    warn(f"Stopped. What is finished is kept; {how}")
    sys.stdout.flush()
    os._exit(STOPPED)
