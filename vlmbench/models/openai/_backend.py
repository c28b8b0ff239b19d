"""The `openai` backend: a model behind any OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray

from vlmbench.models._backend import Prompt, Reply
from vlmbench.models._canary import Heard
from vlmbench.models._checkpoint import stand_in_digest
from vlmbench.models._text import continuation_of, cut, stops_of
from vlmbench.models._thoughts import split_thoughts
from vlmbench.models.openai._client import Client, GaveUp, Refused, key_from_environment
from vlmbench.models.openai._journal import Journal, account
from vlmbench.models.openai._ledger import BudgetSpent, Ledger
from vlmbench.models.openai._wire import Completion, Request, messages, parse, settings
from vlmbench.spec import GenerationKwargs, ModelSpec
from vlmbench.types import Problem, VlmbenchError

# Requests handed over for each that can be under way: the slowest then holds up few others.
BATCHES_AHEAD = 4
# Choices that together are likelier than not are what a model answers with, even where its very
# likeliest first token is none of them.
LEAST_MASS = 0.5


class OpenAIBackend:
    """A model behind a server that speaks OpenAI's chat completions.

    Args:
        spec: The model's spec, with its `server`.
        key: The API key, or None.

    Attributes:
        spec: As given.
        weights_digest: SHA-256 of the address, the model's name and the request's other keys;
            the weights themselves are out of sight.
        canary: What canaries showed; see `TakesCanaries`.
        batch: Prompts to hand over at once.
    """

    def __init__(self, spec: ModelSpec, key: str | None) -> None:
        assert spec.server is not None, "checked when the spec was loaded"
        self.spec = spec
        self.server = spec.server
        self.weights_digest = stand_in_digest(
            self.server.base_url, spec.checkpoint, self.server.body
        )
        self.batch = BATCHES_AHEAD * self.server.concurrency
        self.canary: dict[str, Any] = {}
        self._key = key
        self._journal = Journal()
        self._ledger = Ledger(self.server)
        self._lists_tokens = self.server.logprobs == "auto"
        self._ever_answered = False

    @classmethod
    def load(
        cls, spec: ModelSpec, folder: Path | None, device: torch.device, dtype: torch.dtype
    ) -> OpenAIBackend:
        """Return the backend; the server has its own folder, device and dtype.

        Raises:
            VlmbenchError: If the environment variable with the key is not set.
        """
        del folder, device, dtype
        assert spec.server is not None, "checked when the spec was loaded"
        return cls(spec, key_from_environment(spec.server))

    def keep(self, path: Path) -> None:
        """Keep answers and charges in `path`, and take what is in it as given and paid for."""
        before = account(path)
        self._journal = Journal(path)
        self._ledger = Ledger(self.server, spent=before["usd"] + before["unanswered_usd"])

    def render(self, prompt: Prompt) -> str:
        """Return what is sent, before the server puts it into its chat template."""
        return f"{prompt.system}\n{prompt.user}" if prompt.system else prompt.user

    def continuation(self, choice: str, delimiter: str) -> str:
        """Return what the answer starts with when `choice` is it; every server chats."""
        del delimiter
        return continuation_of(choice, "", self.spec.prompt)

    def answer(
        self,
        prompts: Sequence[Prompt],
        kwargs: GenerationKwargs,
        continuations: Sequence[Sequence[str]] | None = None,
    ) -> list[Reply]:
        """Ask every prompt, `concurrency` at once; equal requests are asked once.

        Args:
            prompts: Questions.
            kwargs: Length and stop strings of the answers.
            continuations: Per prompt, the continuations whose likelihoods are wanted.

        Returns:
            Replies in the order of the prompts. One without an answer says why.

        Raises:
            VlmbenchError: If the server refuses the key or the model, answers nothing at all,
                or the budget is spent. Answers given until then are kept.
        """
        logprobs = continuations is not None and self._lists_tokens
        shared = settings(self.spec, kwargs, logprobs=logprobs)
        requests = [Request(prompt=prompt, settings=shared) for prompt in prompts]
        keys = [request.key(self.server.base_url) for request in requests]
        pairs = zip(keys, requests, strict=True)
        fresh = {key: request for key, request in pairs if self._journal.find(key) is None}
        failed = self._ask_all(fresh)
        replies = []
        for index, key in enumerate(keys):
            completion = self._journal.find(key)
            if completion is None:
                replies.append(Reply(error=failed[key]))
                continue
            wanted = None if continuations is None else continuations[index]
            usd = None if self.server.prices is None else self._journal.costs[key]
            replies.append(_reply(completion, kwargs, wanted, usd))
        return replies

    def hear(self, prompts: Sequence[Prompt]) -> list[Heard]:
        """Ask canaries, which are paid for and never answered from the journal.

        Raises:
            VlmbenchError: If one is not answered, or as `answer`.
        """
        shared = settings(self.spec, GenerationKwargs(), logprobs=self._lists_tokens)
        requests = [
            Request(prompt=prompt, settings=shared, asking=uuid4().hex) for prompt in prompts
        ]
        keys = [request.key(self.server.base_url) for request in requests]
        failed = self._ask_all(dict(zip(keys, requests, strict=True)))
        heard = []
        for key in keys:
            said = self._journal.find(key)
            if said is None:
                message = f"model {self.spec.model!r} did not answer a first request: {failed[key]}"
                raise VlmbenchError(Problem(field="server", message=message))
            heard.append(Heard(first=said.first, text=said.text, tokens=said.prompt_tokens))
        return heard

    def echo(self, prompt: Prompt) -> str | None:
        """Return a prompt as the server's template writes it, where it shows that (vLLM does)."""
        client = Client(self.server, self._key)
        switches = "chat_template_kwargs"
        model = {"model": self.spec.checkpoint}
        set_ = {switches: self.server.body[switches]} if switches in self.server.body else {}
        try:
            read = client.ask_beside("tokenize", {**model, "messages": messages(prompt), **set_})
            if not isinstance(read, dict) or "tokens" not in read:
                return None
            text = client.ask_beside("detokenize", {**model, "tokens": read["tokens"]})
            shown = text.get("prompt") if isinstance(text, dict) else None
            return client.shown(shown) if isinstance(shown, str) else None
        finally:
            client.close()

    def _ask_all(self, requests: dict[str, Request]) -> dict[str, str]:
        """Ask what has no answer yet and return key -> reason for what still has none."""
        if not requests:
            return {}
        client = Client(self.server, self._key)
        workers = min(self.server.concurrency, len(requests))
        pool = ThreadPoolExecutor(workers, thread_name_prefix="openai")
        try:
            futures = {
                key: pool.submit(self._ask, client, key, request)
                for key, request in requests.items()
            }
            failed = self._collect(futures)
        except BaseException:
            client.stopped.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            client.close()
        self._refuse_silence(requests, failed)
        return failed

    def _collect(self, futures: dict[str, Future[str]]) -> dict[str, str]:
        """Wait for all requests; those under way when the budget is spent are let finish."""
        failed: dict[str, str] = {}
        unasked = 0
        for key, future in futures.items():
            try:
                reason = future.result()
            except BudgetSpent:
                unasked += 1
                continue
            if reason:
                failed[key] = reason
        if unasked:
            raise VlmbenchError(self._spent(unasked))
        return failed

    def _ask(self, client: Client, key: str, request: Request) -> str:
        """Ask once, keep the answer, and return why there is none, if there is none."""
        try:
            self._keep_answer(client, key, request)
        except Refused as refusal:
            if not request.wants_logprobs:
                return str(refusal)
            # Servers that list no tokens say so with a refusal. Ask as they like it.
            names = ("logprobs", "top_logprobs")
            plain = {name: v for name, v in request.settings.items() if name not in names}
            try:
                self._keep_answer(client, key, replace(request, settings=plain))
            except (Refused, GaveUp):
                return str(refusal)
            self._lists_tokens = False
        except (GaveUp, ValueError) as error:
            return client.told(str(error))
        return ""

    def _keep_answer(self, client: Client, key: str, request: Request) -> None:
        reserved = self._ledger.reserve(request)
        usd = 0.0

        def charge(reason: str) -> None:
            """Charge the most that a try can cost if it may have run without us seeing it."""
            nonlocal reserved
            most = self._ledger.most(request)
            self._journal.charged(most, reason)
            self._ledger.settle(reserved, most)
            reserved = 0.0
            reserved = self._ledger.reserve(request)

        try:
            raw = client.post(request.body(), seed=int(key[:8], 16), charge=charge)
            found = parse(raw)
            usd = self._ledger.cost(found, reserved)
            listed = {client.redact(token): value for token, value in found.first.items()}
            completion = replace(
                found,
                text=client.redact(found.text),
                finish=client.told(found.finish),
                first=listed,
                sampled=client.redact(found.sampled),
            )
            self._journal.answered(key, completion, usd)
            self._ever_answered = True
        finally:
            self._ledger.settle(reserved, usd)

    def _spent(self, unasked: int) -> Problem:
        return Problem(
            field="server.budget_usd",
            message=f"model {self.spec.model!r}: {unasked} requests could exceed the budget of "
            f"{self.server.budget_usd:g} USD, of which {self._ledger.spent:.4f} are spent",
            remedy="Raise the budget and run again with the same folder: answers are kept.",
        )

    def _refuse_silence(self, requests: dict[str, Request], failed: dict[str, str]) -> None:
        """Stop if nothing was ever answered, rather than fail a whole data set slowly."""
        if self._ever_answered or len(failed) < len(requests):
            return
        first = next(iter(failed.values()))
        message = f"none of the first {len(requests)} requests was answered: {first}"
        raise VlmbenchError(Problem(field="server", message=message))


def _reply(
    completion: Completion,
    kwargs: GenerationKwargs,
    wanted: Sequence[str] | None,
    usd: float | None,
) -> Reply:
    thoughts, text = split_thoughts(completion.text)
    return Reply(
        text=cut(text, stops_of(kwargs)),
        thoughts=thoughts,
        finish=completion.finish,
        logprobs=None if wanted is None else _listed(completion, wanted),
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        usd=usd,
    )


def _listed(completion: Completion, wanted: Sequence[str]) -> NDArray[np.float64] | None:
    """Return the likelihoods of answers of one token each, if all of them are listed.

    Only a token whose text is the whole continuation counts. What begins one, or is missing
    from the list, has no known likelihood, and none is made up for it. Nor do likelihoods count
    where the answer begins with something else ("(" of "(A)") and is unlikely to begin with one
    of them: they then rank what the model would not write.
    """
    if any(continuation not in completion.first for continuation in wanted):
        return None
    found = np.array([completion.first[continuation] for continuation in wanted])
    likely = completion.sampled in wanted or np.exp(found).sum() >= LEAST_MASS
    return found if likely else None
