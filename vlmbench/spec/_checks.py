"""What must fit together within one spec, beyond the type of each value. Pure; needs no data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from urllib.parse import urlsplit

from vlmbench.spec._answers import OwnScoring
from vlmbench.spec._dataset import unknown_form
from vlmbench.spec._hints import HINT_NAMES, Hints
from vlmbench.spec._model import ModelSpec, RecordedScores
from vlmbench.spec._nearest import did_you_mean
from vlmbench.spec._nodes import Keys
from vlmbench.spec._study import StudySpec
from vlmbench.spec._task import PointColumn, RegionSource, TaskSpec, WholeImages
from vlmbench.spec._template import templates
from vlmbench.templates import syntax_error, undeclared

BENCH: Keys = ("metadata", "vlmbench")
IMAGE = "<image>"
# What a shell takes as a name, and too short to be mistaken for a key.
# Environments hold more secrets than keys of servers, and a model's YAML may be a stranger's.
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,63}(_API_KEY|_TOKEN)")
_PLACE = re.compile(r"([A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something in a spec that does not fit the rest.

    Attributes:
        keys: Where in the file.
        message: What is wrong.
        remedy: What to do about it.
        template_line: Line within the template at `keys`, where one is to blame.
    """

    keys: Keys
    message: str
    remedy: str = ""
    template_line: int | None = None


def check_task(spec: TaskSpec) -> Iterator[Flaw]:
    """Yield what does not fit together in a task."""
    return chain(
        _task_templates(spec),
        _source(spec),
        _answers(spec),
        _answer_rule(spec),
        _images(spec),
        _regions(spec),
        _points(spec),
        _probe_regions(spec),
        _probe_splits(spec),
        _hints((*BENCH, "hints"), spec.bench.hints),
    )


def check_model(spec: ModelSpec) -> Iterator[Flaw]:
    """Yield what does not fit together in a model."""
    yield from _wrapper(spec)
    yield from _server(spec)
    yield from _updates(spec)
    yield from _source_of_answers(spec)
    for position, scores in enumerate(spec.recorded):
        yield from _recorded(("recorded", position), scores)
    if spec.twin and spec.twin.checkpoint is None and spec.twin.relation != "identical":
        message = (
            f"`{spec.twin.relation}`, but without `checkpoint` the twin is the VLM's own tower"
        )
        remedy = "Say `identical`, or name the standalone encoder under `checkpoint`."
        yield Flaw(("twin", "relation"), message, remedy)


def _updates(spec: ModelSpec) -> Iterator[Flaw]:
    """Yield that a backend cannot put updates into the weights."""
    if spec.weights is not None and spec.backend != "hf":
        remedy = "Use `backend: hf`, or name a checkpoint into which they are merged."
        yield Flaw(("weights",), f"`backend: {spec.backend}` does not take updates", remedy)


def _source_of_answers(spec: ModelSpec) -> Iterator[Flaw]:
    """Yield which of weights, recorded numbers and rules are missing or superfluous."""
    if spec.has_weights:
        if spec.checkpoint is None:
            remedy = (
                "Give a hub id, or a folder relative to this file. A model without weights has "
                "`rule` or `recorded` instead."
            )
            yield Flaw(("checkpoint",), "the model has no checkpoint", remedy)
        return
    what = "rule" if spec.recorded == () else "recorded"
    for name in ("backend", "checkpoint", "weights", "twin", "server"):
        if name in spec.model_fields_set:
            message = f"a model with `{what}` has no weights, so `{name}` does not apply to it"
            yield Flaw((name,), message, "Leave it out.")
    if spec.rule is not None and spec.recorded:
        yield Flaw(("rule",), "a model is a cheap rule or recorded numbers, not both")


def check_study(spec: StudySpec) -> Iterator[Flaw]:
    """Yield cells of a study that are given twice, and hints that cannot be rendered."""
    if not (spec.cells or spec.studies):
        remedy = "List them, or name studies under `studies`."
        yield Flaw(("study",), "the study has no `cells`", remedy)
    seen: set[tuple[str, str]] = set()
    for position, cell in enumerate(spec.cells):
        key = (cell.readout.label, cell.condition.label)
        if key in seen:  # whatever their `documents`: both would be one record
            yield Flaw(("cells", position), f"{'/'.join(key)} is given twice")
        seen.add(key)
    yield from _hints(("hints",), spec.hints)


def _hints(keys: Keys, hints: Hints | None) -> Iterator[Flaw]:
    for name, template in (hints.given if hints else {}).items():
        error = syntax_error(template)
        known = () if name == "filler" else HINT_NAMES
        if error is not None:
            message, line = error
            yield Flaw((*keys, name), f"is not valid Jinja: {message}", template_line=line)
            continue
        for unknown in sorted(undeclared(template) - set(known)):
            message = f"there is nothing called `{unknown}` here"
            yield Flaw((*keys, name), message, did_you_mean(unknown, known, what="Names"))


def _task_templates(spec: TaskSpec) -> Iterator[Flaw]:
    for keys, template in templates(spec).items():
        error = syntax_error(template)
        if error is not None:
            message, line = error
            yield Flaw(keys, f"is not valid Jinja: {message}", template_line=line)
    for column in spec.image_columns:
        if "{" in column:
            message = f"`{column}` is a template, but images are taken from columns"
            yield Flaw(("doc_to_image",), message, "Name the columns that hold the images.")


def _source(spec: TaskSpec) -> Iterator[Flaw]:
    bench = spec.bench
    if spec.dataset_path is None and bench.generator is None and bench.reader is None:
        remedy = "Give `dataset_path` (such as `json`, with `dataset_kwargs: {data_files: ...}`)."
        yield Flaw(("dataset_path",), "the task has no data", remedy)
    if spec.dataset_path is not None and (unknown := unknown_form(spec.dataset_path)) is not None:
        yield Flaw(("dataset_path",), *unknown)
    if spec.test_split is None and spec.validation_split is None:
        yield Flaw(("test_split",), "the task has no split to measure on", "Give `test_split`.")
    if bench.generator is not None and bench.reader is not None:
        yield Flaw((*BENCH, "reader"), "a task is drawn or read, not both: it has a generator")


def _answers(spec: TaskSpec) -> Iterator[Flaw]:
    choices = spec.doc_to_choice
    if not isinstance(choices, tuple):
        return
    if len(choices) < 2:
        yield Flaw(("doc_to_choice",), f"{len(choices)} choices leave nothing to choose")
    if len(set(choices)) < len(choices):
        yield Flaw(("doc_to_choice",), f"{list(choices)} contains a choice twice")
    if isinstance(spec.doc_to_target, int) and not 0 <= spec.doc_to_target < len(choices):
        message = f"{spec.doc_to_target} is not an index into {len(choices)} choices"
        yield Flaw(("doc_to_target",), message, "Indices start at 0.")


def _answer_rule(spec: TaskSpec) -> Iterator[Flaw]:
    given, keys = spec.bench.answer, (*BENCH, "answer")
    if given is None or isinstance(given, OwnScoring) == spec.is_free_text:
        return
    if spec.is_free_text:
        message = f"`{given.kind}` reads a choice, and free text has none"
        yield Flaw(keys, message, "Leave it out, or give `doc_to_choice`.")
    else:
        message = f"`{given.kind}` credits free text, and this task has choices"
        yield Flaw(keys, message, "Write `declared`, `blink` or `filters`.")


def image_marks(spec: TaskSpec, text: str, keys: Keys) -> Iterator[Flaw]:
    """Compare literal `<image>` marks of a prompt and image columns where both can be counted."""
    if isinstance(spec.doc_to_image, str):
        return
    marks, n = text.count(IMAGE), len(spec.doc_to_image)
    fixed = "{" not in text and not text.isidentifier()
    if (marks != n and fixed) or (marks > n and "{%" not in text):
        message = f"{marks} `{IMAGE}` for the {n} columns of doc_to_image"
        yield Flaw(keys, message, f"Write `{IMAGE}` once per image, in order.")


def _images(spec: TaskSpec) -> Iterator[Flaw]:
    yield from image_marks(spec, spec.doc_to_text, ("doc_to_text",))
    if isinstance(spec.doc_to_image, str):
        return
    n = len(spec.doc_to_image)
    clean = spec.bench.encoder_images
    if clean is not None and len(clean) != n:
        message = f"{len(clean)} columns for the {n} of doc_to_image"
        yield Flaw((*BENCH, "encoder_images"), message, "Name one unmarked image per image.")


def _regions(spec: TaskSpec) -> Iterator[Flaw]:
    regions = spec.bench.regions
    if regions is None:
        return
    places = (("reference", regions.reference), ("choices", regions.choices))
    n = None if isinstance(spec.doc_to_image, str) else len(spec.doc_to_image)
    for name, place in places:
        if place is None:
            continue
        keys: Keys = (*BENCH, "regions", name)
        for inner, index in _image_indices(place):
            if index < 0 or (n is not None and index >= n):
                message = f"there is no image {index} in doc_to_image"
                yield Flaw((*keys, *inner), message, f"Indices go from 0 to {(n or 1) - 1}.")
    if isinstance(regions.reference, WholeImages) and len(regions.reference.images) != 1:
        message = f"{len(regions.reference.images)} images; a reference is a single image"
        yield Flaw((*BENCH, "regions", "reference", "images"), message)
    if isinstance(regions.choices, WholeImages):
        yield from _whole_choices(spec, regions.choices, regions.reference)


def _whole_choices(
    spec: TaskSpec, choices: WholeImages, reference: RegionSource | None
) -> Iterator[Flaw]:
    keys: Keys = (*BENCH, "regions", "choices", "images")
    images = choices.images
    if len(set(images)) < len(images):
        yield Flaw(keys, f"{list(images)} contains an image twice")
    if isinstance(reference, WholeImages) and set(reference.images) & set(images):
        yield Flaw(keys, "the reference image is also one of the choices")
    if isinstance(spec.doc_to_choice, tuple) and len(images) != len(spec.doc_to_choice):
        message = f"{len(images)} images for the {len(spec.doc_to_choice)} of doc_to_choice"
        yield Flaw(keys, message)


def _points(spec: TaskSpec) -> Iterator[Flaw]:
    """Joined coordinates must be asked for, and can only be points."""
    bench, keys = spec.bench, (*BENCH, "points")
    if bench.points is None:
        return
    if bench.regions is None:
        yield Flaw(keys, "coordinates are joined, but no region uses them", "Add `regions`.")
    elif not isinstance(bench.regions.choices, PointColumn):
        yield Flaw((*BENCH, "regions", "choices", "kind"), "joined coordinates are points")
    if bench.points.kind == "vpbench":
        wanted = {"depth": ("image_1",), "semantic": ("image_1", "image_2")}[bench.points.part]
        if spec.image_columns != wanted:
            message = f"its images are BLINK's {', '.join(wanted)}, unlike doc_to_image"
            yield Flaw((*keys, "part"), message)


def _image_indices(place: RegionSource) -> list[tuple[Keys, int]]:
    """Return every image index of a place, with the key it is under."""
    if isinstance(place, WholeImages):
        return [(("images", i), index) for i, index in enumerate(place.images)]
    return [(("image",), place.image)]


def _probe_regions(spec: TaskSpec) -> Iterator[Flaw]:
    """Compare the probe with the regions it works on."""
    probe, regions = spec.bench.probe, spec.bench.regions
    if probe is None or not probe.needs.candidates:
        return
    keys: Keys = (*BENCH, "regions")
    named, needs = f"`kind: {probe.kind}`", probe.needs
    if regions is None:
        yield Flaw(keys, f"{named} needs regions")
        return
    if regions.choices.kind not in needs.candidates:
        message = f"{named} needs choices of kind {' or '.join(needs.candidates)}"
        yield Flaw((*keys, "choices", "kind"), f"{message}, not {regions.choices.kind}")
    kind = regions.reference.kind if regions.reference else None
    wanted = " or ".join(needs.reference)
    if needs.reference and kind is None:
        yield Flaw((*keys, "reference"), f"{named} needs a reference of kind {wanted}")
    elif kind is not None and kind not in needs.reference:
        takes = f"a reference of kind {wanted}, not {kind}" if wanted else "none"
        yield Flaw((*keys, "reference"), f"{named} takes {takes}")
    if isinstance(regions.choices, WholeImages):
        count, least = len(regions.choices.images), needs.min_candidates
        if count < least:
            message = f"{named} compares at least {least} images, not {count}"
            yield Flaw((*keys, "choices", "images"), message)
    if isinstance(regions.choices, PointColumn) and regions.choices.column in spec.image_columns:
        yield Flaw((*keys, "choices", "column"), "the column holds images, not points")


def _probe_splits(spec: TaskSpec) -> Iterator[Flaw]:
    """Fitted probes need documents of their own to be fitted and chosen on."""
    probe, generator = spec.bench.probe, spec.bench.generator
    if probe is None or not probe.fitted:
        return
    if probe.fit_task is not None:
        if probe.fit_task == spec.task:
            message = "the task itself; leave `fit_on` out to fit on its own splits"
            yield Flaw((*BENCH, "probe", "fit_on"), message)
        return
    splits = {"train": spec.training_split, "validation": spec.validation_split}
    for part, split in splits.items():
        key = "training_split" if part == "train" else "validation_split"
        if split is None:
            yield Flaw((key,), f"`kind: {probe.kind}` is fitted, so it needs `{key}`")
        elif split == spec.test_split:
            message = f"`{split}` is also the test split: a probe must not see what it is tested on"
            yield Flaw((key,), message)
        elif generator is not None and getattr(generator, part) == 0:
            message = f"`kind: {probe.kind}` is fitted, so it needs documents to be drawn for it"
            yield Flaw((*BENCH, "generator", part), message)


def _wrapper(spec: ModelSpec) -> Iterator[Flaw]:
    wrapper = spec.prompt.wrapper
    if wrapper is None:
        return
    keys: Keys = ("prompt", "wrapper")
    error = syntax_error(wrapper)
    if error is not None:
        yield Flaw(keys, f"is not valid Jinja: {error[0]}", template_line=error[1])
        return
    names = undeclared(wrapper)
    if "prompt" not in names:
        yield Flaw(keys, "the question gets lost: `{{ prompt }}` does not occur")
    for name in sorted(names - {"prompt"}):
        yield Flaw(keys, f"`{name}` is unknown", "A wrapper knows only `{{ prompt }}`.")
    if spec.prompt.chat_template != "none":
        message = "a wrapper and a chat template exclude each other"
        yield Flaw(keys, message, "Add `chat_template: none`.")


# Keys of a request that follow from the task and from what is read of the answer.
_OURS = ("model", "messages", "stream", "n", "logprobs", "top_logprobs")


def _server(spec: ModelSpec) -> Iterator[Flaw]:
    """Compare the backend with its server; values that could be keys are never repeated."""
    server = spec.server
    if spec.backend != "openai":
        if server is not None:
            yield Flaw(("server",), f"`backend: {spec.backend}` does not use a server")
        return
    if server is None:
        remedy = "Add `server: {base_url: ..., api_key_env: ...}`."
        yield Flaw(("server",), "`backend: openai` needs a server", remedy)
        return
    if spec.prompt.chat_template != "auto":
        message = "the server puts prompts into its own chat template"
        yield Flaw(("prompt", "chat_template"), message, "Leave it out.")
    if spec.prompt.thinking is not None:
        message = "a server has its own switch for thoughts"
        remedy = "Say it in `server.body`, with room in `max_completion_tokens`."
        yield Flaw(("prompt", "thinking"), message, remedy)
    yield from _address(server.base_url)
    if server.api_key_env is not None and not _VARIABLE.fullmatch(server.api_key_env):
        message = "is not the name of an environment variable that ends in _API_KEY or _TOKEN"
        remedy = "Give such a name, as OPENAI_API_KEY, never the key itself; no others are read."
        yield Flaw(("server", "api_key_env"), message, remedy)
    if server.budget_usd is not None and server.prices is None:
        message = "a budget can only be kept if prices are known"
        yield Flaw(("server", "budget_usd"), message, "Add `prices: {input: ..., output: ...}`.")
    for name in _OURS:
        if name in server.body:
            yield Flaw(("server", "body", name), "is set by the readout", "Leave it out.")


def _address(base_url: str) -> Iterator[Flaw]:
    keys: Keys = ("server", "base_url")
    try:
        url = urlsplit(base_url)
        _ = url.port
    except ValueError:
        url = urlsplit("")
    printable = base_url.isascii() and base_url.isprintable() and " " not in base_url
    if "@" in url.netloc or url.query or url.fragment:
        message = "contains more than an address; a user, password or query could be a secret"
        yield Flaw(keys, message, "Name a variable with `api_key_env`.")
    elif url.scheme not in ("http", "https") or not _PLACE.fullmatch(url.netloc) or not printable:
        yield Flaw(keys, "is not an http or https address in printable ASCII")


def _recorded(keys: Keys, scores: RecordedScores) -> Iterator[Flaw]:
    if (scores.accuracy is None) == (scores.column is None):
        yield Flaw(keys, "give `accuracy` or `column`, and not both")
    if scores.accuracy is not None and scores.n is None:
        yield Flaw((*keys, "n"), "a published accuracy needs the number of documents behind it")
    if (scores.low is None) != (scores.high is None):
        yield Flaw(keys, "give both `low` and `high`, or neither")
    if scores.low is not None and scores.high is not None:
        middle = scores.low if scores.accuracy is None else scores.accuracy
        if not scores.low <= middle <= scores.high:
            message = f"the interval {scores.low}..{scores.high} does not contain {middle}"
            yield Flaw((*keys, "low"), message)
