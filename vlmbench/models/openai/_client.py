"""HTTP to one server: retries, back-off, deadlines, and a key that never leaves it."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import numpy as np

from vlmbench.models.openai._faults import fault, read_json, said
from vlmbench.models.openai._secret import Secret
from vlmbench.spec import Server
from vlmbench.types import Problem, VlmbenchError, one_line, plain

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
# A server that asks for more patience than this is out of quota rather than busy.
LONGEST_RETRY_AFTER_S = 600.0
CONNECT_S = 20.0
MOST_BYTES = 32 * 2**20
"""Most bytes of a response's body."""
LONGEST_REASON = 400
"""Most characters that are shown of what a server says instead of an answer."""
LONGEST_SHOWN = 20_000
"""Most characters that are kept of a prompt that a server shows."""


class Refused(Exception):  # noqa: N818 - an answer of the server
    """The server understood the request and will not answer it; trying again does not help."""


class GaveUp(Exception):  # noqa: N818
    """No answer after the last try, or the run was stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """Why a try brought no answer.

    Attributes:
        reason: In words.
        ran: Whether the server may have run, and billed, the request anyway.
        lasting: Whether another try would end in the same way.
        wait_s: Seconds the server asked to wait, if it did.
    """

    reason: str
    ran: bool = False
    lasting: bool = False
    wait_s: float | None = None


class Client:
    """Posts chat completions.

    Each thread that asks has a connection of its own, which is closed under it where a server
    takes longer than a try may take. Proxies are those of the environment, as in any program.

    Args:
        server: Where, and how patiently.
        key: The API key, or None.
    """

    def __init__(self, server: Server, key: str | None) -> None:
        self.server = server
        self.stopped = threading.Event()
        self._secret = Secret(key)
        # What is not asked to be compressed cannot be small and become large.
        self._headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        self._headers |= {"Authorization": f"Bearer {key}"} if key else {}
        self._url = server.base_url.rstrip("/") + "/chat/completions"
        self._tls = httpx2.create_ssl_context()
        self._own = threading.local()
        self._all: list[httpx2.Client] = []

    def redact(self, text: str) -> str:
        """Return text without the key, which servers like to repeat in their messages."""
        return self._secret.out_of(text)

    def told(self, reason: str) -> str:
        """Return what a server says, on one line, harmless, and shortened once the key is out."""
        return one_line(self.redact(reason), longest=LONGEST_REASON)

    def post(self, body: bytes, *, seed: int, charge: Callable[[str], None]) -> bytes:
        """Send a request until it is answered.

        Waits double from half a second to a minute, each shortened at random by up to half so
        that threads do not return together, and are never shorter than `Retry-After`.

        Args:
            body: The request.
            seed: Seed of the random waits.
            charge: Called for every try that the server may have run without us seeing it.

        Returns:
            The response's bytes.

        Raises:
            Refused: On a status that will stay what it is, or a body that cannot be read.
            GaveUp: After the last try.
        """
        generator = np.random.default_rng(seed)
        reason = ""
        for attempt in range(self.server.retries + 1):
            if self.stopped.is_set():
                raise GaveUp("the run was stopped")
            outcome = self._try(body)
            if isinstance(outcome, bytes):
                return outcome
            reason = outcome.reason
            if outcome.ran:
                charge(reason)
            if outcome.lasting:
                raise Refused(reason)
            wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt) * generator.uniform(0.5, 1.0)
            wait = max(wait, outcome.wait_s or 0.0)
            if wait > LONGEST_RETRY_AFTER_S:
                raise GaveUp(f"{reason}; the server asks to wait {wait:.0f} s")
            if attempt < self.server.retries:
                self.stopped.wait(wait)
        raise GaveUp(f"{reason}; tried {self.server.retries + 1} times")

    def ask_beside(self, name: str, body: dict[str, Any]) -> Any:
        """Return the JSON that a server gives at its root beside the protocol; None if none."""
        root = self.server.base_url.rstrip("/").removesuffix("/v1")
        response = self._send(f"{root}/{name}", json.dumps(body).encode())
        if isinstance(response, _Failure) or response.status_code != httpx2.codes.OK:
            return None
        try:
            return read_json(response.content)
        except ValueError:
            return None

    def shown(self, prompt: str) -> str:
        """Return a prompt that a server shows, harmless and without the key."""
        return plain(self.redact(prompt), longest=LONGEST_SHOWN)

    def _send(self, url: str, body: bytes) -> httpx2.Response | _Failure:
        """Send a request once; the response has been read, as far as it may be."""
        deadline = time.monotonic() + self.server.timeout_s
        http = self._connection()
        # The library's timeout is for each read; a trickle could go on for ever.
        clock = threading.Timer(self.server.timeout_s, http.close)
        clock.daemon = True
        clock.start()
        try:
            with http.stream("POST", url, content=body, headers=self._headers) as response:
                return self._read(response, deadline)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            return _Failure(reason=self.told(f"cannot reach the server: {error}"))
        except Exception as error:  # a connection that is closed under it ends in many ways
            if time.monotonic() > deadline or isinstance(error, httpx2.TimeoutException):
                return _Failure(reason=self._too_slow(), ran=True)
            if not isinstance(error, httpx2.HTTPError):
                raise
            reason = f"the connection broke: {type(error).__name__} {error}"
            return _Failure(reason=self.told(reason), ran=True)
        finally:
            clock.cancel()

    def _read(self, response: httpx2.Response, deadline: float) -> httpx2.Response | _Failure:
        """Read a response's body, if it is neither compressed nor too long nor too slow."""
        packed = response.headers.get("content-encoding", "identity")
        if packed != "identity":
            reason = self.told(f"the answer is packed ({packed}), which was not asked for")
            return _Failure(reason=reason, ran=True, lasting=True)
        raw = bytearray()
        for part in response.iter_raw(1 << 16):
            raw += part
            if len(raw) > MOST_BYTES:
                reason = f"the answer is longer than {MOST_BYTES:,} bytes, the most that is read"
                return _Failure(reason=reason, ran=True, lasting=True)
            if time.monotonic() > deadline:
                return _Failure(reason=self._too_slow(), ran=True)
        headers = response.headers
        return httpx2.Response(response.status_code, headers=headers, content=bytes(raw))

    def _connection(self) -> httpx2.Client:
        """Return this thread's connection, a new one if the last was closed under it."""
        http: httpx2.Client | None = getattr(self._own, "http", None)
        if http is None or http.is_closed:
            http = httpx2.Client(
                timeout=httpx2.Timeout(
                    self.server.timeout_s, connect=min(CONNECT_S, self.server.timeout_s)
                ),
                verify=self._tls,
                follow_redirects=False,  # the key goes to the address that was named, and no other
            )
            self._own.http = http
            self._all.append(http)
        return http

    def _try(self, body: bytes) -> bytes | _Failure:
        """Send a request once."""
        response = self._send(self._url, body)
        return response if isinstance(response, _Failure) else self._outcome(response)

    def _outcome(self, response: httpx2.Response) -> bytes | _Failure:
        """Return a response that may hold an answer, or why this one does not."""
        raw = response.content
        status, wait = response.status_code, response.headers.get("retry-after")
        if status != httpx2.codes.OK:
            return self._unanswered(status, f"HTTP {status}: {_message(raw)}", wait)
        inside = fault(raw)
        if inside is None:
            return raw
        return self._unanswered(inside.status, inside.message, wait, ran=inside.ran)

    def _too_slow(self) -> str:
        return f"no answer within {self.server.timeout_s:g} s"

    def _unanswered(
        self, status: int, reason: str, wait: str | None, *, ran: bool = False
    ) -> _Failure:
        """Return why a try without an answer is worth another; raises if it is not."""
        reason = self.told(reason)
        if status in (401, 403, 404):
            raise VlmbenchError(self._hopeless(reason))
        if status in (408, 409, 429) or status >= 500:
            return _Failure(reason=reason, ran=ran, wait_s=retry_after(wait))
        raise Refused(reason)

    def _hopeless(self, reason: str) -> Problem:
        variable = self.server.api_key_env
        remedy = f"Check the key in {variable}, the address and the model's name."
        return Problem(
            field="server",
            message=f"{self._url} answered with {reason}",
            remedy=remedy if variable else "Check the address, the model's name, `api_key_env`.",
        )

    def close(self) -> None:
        """Close all connections."""
        self.stopped.set()
        for http in self._all:
            http.close()


def retry_after(header: str | None) -> float | None:
    """Return the seconds that a `Retry-After` header (RFC 9110, 10.2.3) asks for, if any."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = parsedate_to_datetime(header)
            date = date if date.tzinfo else date.replace(tzinfo=UTC)
            seconds = (date - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _message(raw: bytes) -> str:
    """Return what an error response says."""
    text = raw.decode("utf-8", errors="replace")
    try:
        data = read_json(raw)
        return said(data.get("error", data.get("detail", data)))
    except (ValueError, AttributeError):
        return text


def key_from_environment(server: Server) -> str | None:
    """Return the API key, or None for a server that does not need one.

    Raises:
        VlmbenchError: If the variable is not set, or contains what a header cannot carry.
    """
    variable = server.api_key_env
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        message = f"the environment variable {variable} is not set"
        remedy = f"export {variable}=..."
        raise VlmbenchError(Problem(field="server.api_key_env", message=message, remedy=remedy))
    if not key.isascii() or not key.isprintable() or " " in key:
        message = f"the environment variable {variable} contains characters that a key cannot have"
        raise VlmbenchError(Problem(field="server.api_key_env", message=message))
    return key
