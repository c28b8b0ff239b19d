"""What strangers' text asks for is done in a helper process, where it has limits.

Nothing within a process can stop a regular expression, or a product of two numbers, once it runs.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

SECONDS = 2.0
"""Time of a processor that one call may take where nothing else is said."""
MEMORY = 1 << 29
"""Bytes of address space that a helper may take on top of what its imports need (Linux)."""
LONGEST_RESULT = 4_000_000
"""Bytes of one result, pickled."""

_START_SECONDS = 120.0
# Wall time per second of a processor, after which a call counts as stuck: machines are shared.
_PATIENCE = 15
_BEGIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from vlmbench.templates._limited import serve; "
    "serve(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5:])"
)
_LIMITS = ("TimeoutError", "MemoryError", "TooLong")


class CallError(Exception):
    """A call was not answered: the function raised, or a limit was reached.

    Args:
        kind: Name of the exception, or of the limit.
        message: What it said.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message

    @property
    def at_limit(self) -> bool:
        """Whether a limit was reached, so that another try would take as long."""
        return self.kind in _LIMITS


class Limited:
    """A function that is called in a process of its own, one call at a time.

    The process starts at the first call and serves until this one ends, or a call goes beyond the
    limits; another then takes its place. What is handed over is pickled.

    Args:
        function: `module:name`, importable by whoever imports vlmbench.
        seconds: Time of a processor that one call may take.
        imports: Modules that the function imports when it is called: imported at the start, they
            count for none of the limits.
    """

    def __init__(
        self, function: str, *, seconds: float = SECONDS, imports: Sequence[str] = ()
    ) -> None:
        self._function, self._imports = function, imports
        self._seconds = seconds
        self._lock = threading.Lock()
        self._helper: _Helper | None = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return what the function returns.

        Raises:
            CallError: If it raises, takes longer than it may, more memory than `MEMORY`, or
                returns more than `LONGEST_RESULT`.
        """
        with self._lock:
            if self._helper is None or self._helper.owner != os.getpid():
                self._helper = _Helper(self._function, self._seconds, self._imports)
            try:
                self._helper.connection.send_bytes(pickle.dumps((arguments, named)))
                kind, value = self._helper.answer(self._seconds * _PATIENCE)
            except BaseException:
                self._helper.end()
                self._helper = None
                raise
        if kind:
            raise CallError(kind, value)
        return value


class _Helper:
    """The process that serves one function."""

    def __init__(self, function: str, seconds: float, imports: Sequence[str]) -> None:
        self.owner = os.getpid()  # a fork must not share it
        self.connection, theirs = Pipe()
        # Isolated, since `-c` alone would import from the folder that one happens to be in.
        begin = [sys.executable, "-I", "-c", _BEGIN, json.dumps(sys.path), function]
        self._seconds = seconds
        self._process = subprocess.Popen(  # noqa: S603 -- our own code, with our own arguments
            [*begin, str(theirs.fileno()), str(seconds), *imports],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        self.end = weakref.finalize(self, _end, self._process, self.connection, self.owner)
        self.answer(_START_SECONDS)

    def answer(self, seconds: float) -> tuple[str, Any]:
        """Return the kind of failure, empty if there is none, and the value or message."""
        try:
            if self.connection.poll(seconds):
                kind, value = pickle.loads(self.connection.recv_bytes(LONGEST_RESULT))  # noqa: S301
                return kind, value
        except (EOFError, OSError) as error:
            self._process.wait()
            if self._process.returncode != -signal.SIGPROF:
                message = "it ended its process, most likely out of memory"
                raise CallError("MemoryError", message) from error
        raise CallError("TimeoutError", f"it takes more than {self._seconds:g} s")


def _end(process: subprocess.Popen[bytes], connection: Connection, owner: int) -> None:
    """Kill a helper, if it is this process's own."""
    connection.close()
    if owner == os.getpid():
        process.kill()
        process.wait()


def serve(function: str, descriptor: int, seconds: float, imports: Sequence[str]) -> None:
    """Answer calls of a function until whoever calls has gone."""
    connection = Connection(descriptor)
    module, _, name = function.partition(":")
    for other in imports:
        importlib.import_module(other)
    call = getattr(importlib.import_module(module), name)
    _limit_memory()
    connection.send_bytes(pickle.dumps(("", None)))
    with suppress(EOFError):
        while True:
            arguments = connection.recv_bytes()
            signal.setitimer(signal.ITIMER_PROF, seconds)  # whose signal ends the process
            answer = _answer(call, arguments)
            signal.setitimer(signal.ITIMER_PROF, 0)
            connection.send_bytes(answer)


def _answer(call: Any, arguments: bytes) -> bytes:
    """Return a pickled result, or the kind and message of what went wrong."""
    try:
        places, names = pickle.loads(arguments)  # noqa: S301 -- from our own process
        answer = pickle.dumps(("", call(*places, **names)))
    except MemoryError:
        return pickle.dumps(("MemoryError", f"it takes more than {MEMORY >> 20} MiB of memory"))
    except Exception as error:
        return pickle.dumps((type(error).__name__, str(error)[:10_000]))
    if len(answer) > LONGEST_RESULT:
        message = f"it gives {len(answer):,} bytes, and at most {LONGEST_RESULT:,} are taken"
        return pickle.dumps(("TooLong", message))
    return answer


def _limit_memory() -> None:
    if sys.platform != "linux":
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
