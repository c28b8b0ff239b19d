"""Runs one thing in a child process and reports everything it did that it must not.

Python tells an audit hook about every file it opens, every name it resolves and every process it
starts, whichever library asked. The child is a fork, so that what is slow to import is imported
once.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import pickle
import resource
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

REPOSITORY = Path(__file__).parents[2]
_GiB = 1 << 30
# What any Python program reads: itself, its libraries, and what the system says about itself.
_LIBRARIES = tuple(
    os.path.realpath(path)
    for path in (sys.prefix, sys.base_prefix, "/usr", "/proc", "/sys", "/dev", "/etc", "/lib")
)
_SENT = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.sendmsg")
_STARTED = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn")
# How the process begins in which templates are rendered; it is none of what it is given.
_HELPER = "from vlmbench.templates._limited import serve"
# Event -> which of its arguments are paths that it changes.
_CHANGED = {
    "os.mkdir": (0,), "os.remove": (0,), "os.rmdir": (0,), "os.truncate": (0,), "os.chmod": (0,),
    "os.chown": (0,), "os.utime": (0,), "os.rename": (0, 1), "os.link": (1,), "os.symlink": (1,),
    "shutil.rmtree": (0,), "shutil.move": (0, 1), "shutil.copyfile": (1,), "shutil.copytree": (1,),
}  # fmt: skip
# Event -> which of its arguments is the open folder that its path starts at, where there is one.
_AT = {"os.mkdir": 2, "os.remove": 1, "os.rmdir": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one call.

    Attributes:
        value: What it returned, if it did; None if it was refused.
        refused: The message of the error that the user sees, if it was refused cleanly.
        fault: What it must not have done: a traceback, a hang, a file outside; None if nothing.
        seconds: Wall time.
        cpu: Seconds of a processor, its own and of the helpers that it ended; unlike wall time it
            hardly depends on what else the machine does.
        memory: Bytes of memory that the call added to the process at its peak.
    """

    value: Any = None
    refused: str | None = None
    fault: str | None = None
    seconds: float = 0.0
    cpu: float = 0.0
    memory: int = 0


def guarded(
    call: Callable[[], Any],
    *,
    folder: Path,
    readable: Iterable[Path] = (),
    seconds: float = 5.0,
    memory: int = _GiB,
    message: int = 20_000,
    hosts: Iterable[str] = (),
    clean: tuple[type[BaseException], ...] = (),
) -> Outcome:
    """Run `call` in a fork that may write into `folder` alone.

    Args:
        call: What is tried. Its value is pickled.
        folder: The one folder that it may write to, and read.
        readable: What it may read besides: the repository and Python's libraries always.
        seconds: After so much wall time it counts as hanging, and is killed.
        memory: Address space in bytes that it may take on top of what there is.
        message: The longest message, in characters, with which it may refuse.
        hosts: Hosts that it may talk to, by name or address.
        clean: Errors, besides `VlmbenchError` and an exit of the command line, that are refusals.

    Returns:
        The outcome; its `fault` names what went wrong, and everything else is then as far as known.
    """
    reader, writer = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if not child:
        try:
            os.close(reader)
            watch = _Watch(folder, tuple(readable), tuple(hosts))
            _send(writer, _in_child(call, watch, memory, clean))
        finally:
            os._exit(0)  # whatever happens, a child must not go on as a second parent
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        sent = _read(stream, started + seconds)
    if sent is None:
        os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    took = time.monotonic() - started
    if sent is None:
        return Outcome(fault=f"hangs: nothing after {seconds:g} s", seconds=took)
    if not sent:
        how = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else status
        return Outcome(fault=f"the process died of {how}", seconds=took)
    value, refused, fault, base = pickle.loads(sent)
    if refused is not None and len(refused) > message and fault is None:
        fault = f"a message of {len(refused)} characters: {refused[:200]}"
    cpu = usage.ru_utime + usage.ru_stime
    grown = max(0, usage.ru_maxrss * 1024 - base)
    return Outcome(value=value, refused=refused, fault=fault, seconds=took, cpu=cpu, memory=grown)


def _read(stream: IO[bytes], deadline: float) -> bytes | None:
    """Return what the child sent before it ended, or None if it did not end in time."""
    parts = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([stream], [], [], left)[0]:
            return None
        part = os.read(stream.fileno(), 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _in_child(
    call: Callable[[], Any], watch: _Watch, memory: int, clean: tuple[type[BaseException], ...]
) -> tuple[Any, str | None, str | None, int]:
    """Return the value, the refusal, the fault and the peak memory from before."""
    from vlmbench.types import VlmbenchError

    value, refused, fault = None, None, None
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + memory, limits[1]))
    faulthandler.disable()  # a death is reported by its signal, not by a page of frames
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    shown = io.StringIO()
    sys.addaudithook(watch)
    try:
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            value = call()
    except (VlmbenchError, *clean) as error:
        refused = str(error)
    except SystemExit as error:
        refused = shown.getvalue() if error.code else None
    except BaseException:
        fault = traceback.format_exc(limit=-12)[-6000:]
    watch.off = True
    resource.setrlimit(resource.RLIMIT_AS, limits)
    if "Traceback (most recent call last)" in shown.getvalue():
        fault = fault or shown.getvalue()[-6000:]
    if watch.misdeeds:
        fault = "\n".join([*watch.misdeeds[:10], fault or ""]).strip()
    return value, refused, fault, base


def _send(writer: int, result: tuple[Any, ...]) -> None:
    """Write the result into the pipe; a value that cannot be pickled is left out."""
    try:
        sent = pickle.dumps(result)
    except Exception:
        sent = pickle.dumps((None, *result[1:]))
    with os.fdopen(writer, "wb") as stream:
        stream.write(sent)


def _address_space() -> int:
    """Return the bytes of address space that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


class _Watch:
    """An audit hook that notes what must not be done; it is done all the same, by the child."""

    def __init__(self, folder: Path, readable: tuple[Path, ...], hosts: tuple[str, ...]) -> None:
        self.off = False
        self.misdeeds: list[str] = []
        self._own = os.path.realpath(folder)
        more = [os.path.realpath(path) for path in (REPOSITORY, *readable)]
        self._readable = (*_LIBRARIES, self._own, *more)
        self._hosts = hosts
        self._inside = threading.local()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.off or getattr(self._inside, "yes", False):
            return
        self._inside.yes = True
        try:
            self._look(event, arguments)
        finally:
            self._inside.yes = False

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
            self._path("writes" if writes or set(mode or "") & set("wax+") else "reads", path)
        elif event in _CHANGED:
            folder = arguments[_AT[event]] if event in _AT else -1
            start = f"/proc/self/fd/{folder}" if folder >= 0 else ""
            for position in _CHANGED[event]:
                if not isinstance(path := arguments[position], int):
                    self._path(f"changes ({event})", os.path.join(start, os.fsdecode(path)))  # noqa: PTH118
        elif event in _SENT:
            to = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
            host = to[0] if isinstance(to, tuple) else to
            if host not in self._hosts:
                self.misdeeds.append(f"talks to {host!r} ({event})")
        elif event in _STARTED and _HELPER not in str(arguments[1]):
            self.misdeeds.append(f"starts a process: {arguments[:2]!r}")

    def _path(self, does: str, path: Any) -> None:
        if isinstance(path, int):
            return
        real = os.path.realpath(os.fsdecode(path))
        if does == "reads" and not os.path.exists(real):  # noqa: PTH110
            return  # nothing is read there; a name within an open folder looks like this, too
        allowed = self._readable if does == "reads" else (self._own, "/dev/null")
        if not any(real == root or real.startswith(root.rstrip("/") + "/") for root in allowed):
            self.misdeeds.append(f"{does} {real}")
