"""A vlmbench backend as an lm-eval model."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from PIL import Image

from vlmbench.harness._answers import likelihoods, texts
from vlmbench.harness._requests import Context, ContextReader, check_places, generation
from vlmbench.models import (
    IMAGE_PLACEHOLDER,
    Backend,
    BatchSize,
    Prompt,
    Remote,
    in_batches,
    load_backend,
)
from vlmbench.readouts import place_images
from vlmbench.registry import catalogue
from vlmbench.run import Reporter
from vlmbench.spec import GenerationKwargs
from vlmbench.types import Problem, VlmbenchError

AUTO_BATCH = 32
AnswerT = TypeVar("AnswerT")
Answering = Callable[[list[Prompt], list[list[Any]]], Sequence[Sequence[AnswerT]]]
"""Given prompts and, per prompt, the requests that share it, gives an answer to each of these."""


class VlmbenchLM(LM):  # type: ignore[misc]  # lm-eval carries no types
    """Any vlmbench model for `lm_eval.simple_evaluate`, images included.

    Prompts are those of `vlmbench run`: the model's own YAML says whether a chat template is
    applied. With lm-eval's `apply_chat_template=True` they are exactly the same. Without it, a chat
    model is still asked through its template (anything else would measure a prompt it was never
    trained on): the whole context is then the user's message, a task's description included, and
    white space before a choice is taken to be the task's `target_delimiter`, in whose place a chat
    has what its template writes before an answer.

    Requests with one context and the same images share one forward pass.

    Args:
        model: A loaded backend, or what `vlmbench run --models` takes, meaning one model.
        include_path: Another folder of model YAML.
        device: `auto`, `cuda[:N]`, `mps`, `xpu` or `cpu`.
        dtype: `auto` or a dtype name.
        batch_size: Prompts per forward pass; `auto` starts at 32 and halves when memory runs out.
        max_batch_size: Where `auto` starts instead.
        reporter: Is told about progress.
        allow_host: A host of a server that may be asked although it does not come with vlmbench.
    """

    MULTIMODAL = True

    def __init__(
        self,
        model: Backend | Remote | str,
        *,
        include_path: str | Path | None = None,
        device: str | None = None,
        dtype: str = "auto",
        batch_size: int | str = "auto",
        max_batch_size: int | None = None,
        reporter: Reporter | None = None,
        allow_host: str | None = None,
    ) -> None:
        super().__init__()
        if isinstance(model, str):
            hosts = () if allow_host is None else (allow_host,)
            model = _load(model, include_path, device or "auto", dtype, hosts)
        self.backend: Backend | Remote = model
        self.batch_size = batch_size
        self._auto = BatchSize(max_batch_size or AUTO_BATCH)
        self._reporter = reporter
        self._chats: dict[str, tuple[str, str]] = {}
        # A request cache of lm-eval's would bring contexts that were rendered elsewhere.
        self._own = secrets.token_hex(4)

    # -- prompts ----------------------------------------------------------------------------

    @property
    def chats(self) -> bool:
        """Whether prompts go through a chat template."""
        if isinstance(self.backend, Remote):
            return True
        plain = Prompt(user="?", images=())
        return (
            self.backend.spec.prompt.chat_template != "none"
            and self.backend.render(plain) != plain.user
        )

    @property
    def tokenizer_name(self) -> str:
        """Name under which lm-eval caches requests: never that of another process."""
        return f"{self.backend.spec.model}-{self.backend.weights_digest[:16]}-{self._own}"

    def chat_template(self, chat_template: bool | str = False) -> str:
        """Return the model's chat template for the record; there is only one to choose.

        Raises:
            VlmbenchError: If another one is asked for by name.
        """
        if isinstance(chat_template, str):
            message = f"there is no chat template {chat_template!r}: a model has only its own"
            raise VlmbenchError(Problem(field="apply_chat_template", message=message))
        processor = getattr(self.backend, "processor", None)
        return str(getattr(processor, "chat_template", None) or "") if self.chats else ""

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Return the text that the model reads for one question.

        Raises:
            VlmbenchError: If the model has no template, or the history is more than a system
                message and one of the user's.
        """
        if not self.chats:
            remedy = "Leave `apply_chat_template` out."
            message = f"model {self.backend.spec.model!r} is prompted without a chat template"
            raise VlmbenchError(Problem(message=message, remedy=remedy))
        roles = [turn["role"] for turn in chat_history]
        if roles not in (["user"], ["system", "user"]) or not add_generation_prompt:
            raise VlmbenchError(
                Problem(
                    field="apply_chat_template",
                    message=f"a chat of {', '.join(roles)} turns cannot be rendered",
                    remedy="Put examples into one message (`fewshot_as_multiturn=False`), and "
                    "leave out `gen_prefix`.",
                )
            )
        texts = {turn["role"]: turn["content"] for turn in chat_history}
        system, user = texts.get("system", ""), texts["user"]
        blank = [Image.new("RGB", (1, 1))] * user.count(IMAGE_PLACEHOLDER)
        rendered = self.backend.render(place_images(user, blank, self.backend.spec, system=system))
        self._chats[rendered] = (system, user)
        return rendered

    def _prompt(self, context: Context) -> Prompt:
        system, user = self._chats.get(context.text, ("", context.text))
        check_places(user, context.images)
        return place_images(user, context.images, self.backend.spec, system=system)

    def _continuation(self, context: str, text: str) -> str:
        """Return what follows the prompt, with the white space that the model's prompting wants."""
        bare = text.lstrip()
        if context in self._chats or not bare:
            return self.backend.continuation(text, "")
        return self.backend.continuation(bare, text[: len(text) - len(bare)])

    # -- requests ---------------------------------------------------------------------------

    def loglikelihood(
        self, requests: list[Any], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Return each continuation's summed log-likelihood in nats, and whether it is greedy.

        Raises:
            VlmbenchError: If a server does not list a continuation's likelihood, or a task is
                scored by whether an answer is greedy and the backend cannot tell.
        """
        del disable_tqdm

        def ask(prompts: list[Prompt], requests: list[list[Any]]) -> list[list[tuple[float, bool]]]:
            following = [
                [self._continuation(*map(str, request.args[:2])) for request in sharing]
                for sharing in requests
            ]
            return likelihoods(self.backend, prompts, following)

        return self._answers("loglikelihood", requests, ask)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Return each greedily decoded answer up to its first stop string."""
        del disable_tqdm
        groups: dict[GenerationKwargs, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(generation(request.args[1]), []).append(index)
        results: dict[int, str] = {}
        for kwargs, members in groups.items():

            def ask(
                prompts: list[Prompt], sharing: list[list[Any]], kwargs: GenerationKwargs = kwargs
            ) -> list[list[str]]:
                written = texts(self.backend, prompts, kwargs)
                return [[text] * len(row) for text, row in zip(written, sharing, strict=True)]

            answers = self._answers("generate_until", [requests[i] for i in members], ask)
            results.update(zip(members, answers, strict=True))
        return [results[index] for index in range(len(requests))]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Refuse: the perplexity of a text asks no question."""
        del requests, disable_tqdm
        raise VlmbenchError(
            Problem(
                field="output_type",
                message="`loglikelihood_rolling` (perplexity) is not supported",
                remedy="Run such tasks with lm-eval's own `hf` model.",
            )
        )

    def get_model_info(self) -> dict[str, Any]:
        """Return what lm-eval's results say about the model."""
        spec = self.backend.spec
        return {
            "model": "vlmbench",
            "model_name": spec.model,
            "model_backend": spec.backend,
            "model_checkpoint": spec.checkpoint,
            "model_revision": spec.revision,
            "model_sha": self.backend.weights_digest,
        }

    # -- batches ----------------------------------------------------------------------------

    def _answers(
        self, kind: str, requests: Sequence[Any], ask: Answering[AnswerT]
    ) -> list[AnswerT]:
        """Return what `ask` gives for every request, asking requests of one context together."""
        reader = ContextReader()
        contexts = [reader.read(request.args) for request in requests]
        sharing: dict[tuple[str, ...], list[int]] = {}
        for index, context in enumerate(contexts):
            sharing.setdefault(context.key, []).append(index)
        items = [(self._prompt(contexts[shared[0]]), shared) for shared in sharing.values()]
        results: dict[int, AnswerT] = {}

        def run(batch: Sequence[tuple[Prompt, list[int]]]) -> Sequence[Sequence[AnswerT]]:
            prompts = [prompt for prompt, _ in batch]
            rows = ask(prompts, [[requests[index] for index in shared] for _, shared in batch])
            for (_, shared), row in zip(batch, rows, strict=True):
                for index, answer in zip(shared, row, strict=True):
                    results[index] = answer
                    self.cache_hook.add_partial(kind, requests[index].args, answer)
            return rows

        label = f"{self.backend.spec.model}  {kind}"
        in_batches(
            items,
            run,
            size=self._size(),
            order=lambda item: (-len(item[0].images), -len(item[0].user)),
            progress=self._reporter.start(label, len(items)) if self._reporter else lambda _: None,
        )
        return [results[index] for index in range(len(requests))]

    def _size(self) -> BatchSize:
        """Return how many prompts make a batch."""
        if isinstance(self.backend, Remote):
            return BatchSize(self.backend.batch, fixed=True)
        if self.batch_size == "auto":
            return self._auto
        if str(self.batch_size).isdigit() and int(self.batch_size) > 0:
            return BatchSize(int(self.batch_size), fixed=True)
        message = f"{self.batch_size!r} is not a valid batch size"
        remedy = "Give auto or a whole number of at least 1."
        raise VlmbenchError(Problem(field="batch_size", message=message, remedy=remedy))


def _load(
    selector: str,
    include_path: str | Path | None,
    device: str,
    dtype: str,
    hosts: Collection[str],
) -> Backend | Remote:
    """Return the backend of the one model that a selector means."""
    found = catalogue([] if include_path is None else [Path(include_path)])
    models = found.select_models(selector)
    if len(models) != 1:
        raise VlmbenchError(f"{selector!r} selects {len(models)} models; give one")
    return load_backend(models[0], device, dtype, hosts=hosts)


register_model("vlmbench")(VlmbenchLM)
