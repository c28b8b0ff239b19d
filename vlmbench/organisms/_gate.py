"""The gate: what a tiny model must show before its scores on the tasks mean anything.

A model that cannot name or point, or that does not answer with a letter, fails the tasks for a
reason that says nothing about its encoder. Every figure is from held-out seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vlmbench.metrics import accuracy
from vlmbench.models import (
    Backend,
    BatchSize,
    HfBackend,
    Tower,
    TowerStates,
    in_batches,
    load_backend,
)
from vlmbench.organisms._gate_abilities import ability_row, lora_row
from vlmbench.organisms._gate_rows import GateRow, Held, at_chance, at_least, share
from vlmbench.organisms._images import ImageSet, load_images
from vlmbench.organisms._recipe import ImagesRecipe
from vlmbench.organisms._tuning import LESSONS
from vlmbench.readouts import build_prompt, read_prompted
from vlmbench.registry import Catalogue, catalogue
from vlmbench.spec import Condition, GenerationKwargs, Twin
from vlmbench.tasks import apply_conditions, ask, load_documents
from vlmbench.types import Asked, Stat, VlmbenchError

PROBE_IMAGES = ImagesRecipe(seed=0x6A7E, single=3000, several=0, marked=0)
"""Images of the linear probe: a seed of their own, so that no encoder was trained on them."""

TRAIN, VALIDATION = 1500, 500
"""Images the probe is fitted on, and chosen on; the rest are reported."""

CONTROLS = ("naming", "pointing")
BATCH = 32

Advance = Callable[[str], None]


class States(Protocol):
    """What the probe needs of a tower."""

    @property
    def consumed(self) -> int:
        """Number of the hidden state that the language model consumes."""

    def states(self, squares: Sequence[Image.Image], layers: Sequence[int]) -> TowerStates:
        """Return hidden states of square images."""


def gate(
    name: str,
    *,
    data_root: Path,
    cache: Path,
    include_paths: Sequence[Path] = (),
    limit: int | None = None,
    advance: Advance = lambda _: None,
) -> list[GateRow]:
    """Measure every criterion on a model of the search path.

    Args:
        name: Name of a model whose backend is `hf` and whose twin is its own tower.
        data_root: Folder for rendered data.
        cache: Where the probe's images are kept.
        include_paths: More folders of YAML.
        limit: First documents of each task to use; all where None.
        advance: Called with what is about to be measured.

    Raises:
        VlmbenchError: If the name does not mean exactly one such model.
    """
    found = catalogue(tuple(include_paths))
    backend, twin = subject(found, name)
    advance("linear probe")
    tower = Tower.inside(backend, twin)
    rows = probe_rows(tower, twin, load_images(PROBE_IMAGES, cache))
    held = []
    for task in found.select_tasks(",".join(("worlds", *CONTROLS))):
        documents = load_documents(task, "reported", data_root, limit)
        held.append(Held(task, ask(list(documents), task.spec, Condition())))
    rows += _prompted_rows(held, backend, advance)
    advance("encoder against untrained encoder and cheap rules")
    abilities = [part for part in held if part.task.task not in CONTROLS]
    row, best = ability_row(abilities, tower, data_root=data_root, cache=cache)
    about = f"LoRA on {best.task.task}"
    advance(about)
    report = lambda done, _: advance(f"{about}, {done} of {LESSONS.steps} steps")
    return [*rows, row, lora_row(best, backend, data_root=data_root, cache=cache, report=report)]


def subject(found: Catalogue, name: str) -> tuple[HfBackend, Twin]:
    """Return the loaded model of a name with its twin."""
    models = found.select_models(name)
    twin = models[0].spec.twin if len(models) == 1 else None
    if twin is None:
        raise VlmbenchError(f"{name!r} is not one model with a twin")
    backend = load_backend(models[0], "cpu", "float32")
    if not isinstance(backend, HfBackend):
        message = "the gate needs a model of `backend: hf`"
        raise VlmbenchError(models[0].problem("backend", message))
    return backend, twin


def _prompted_rows(held: Sequence[Held], backend: Backend, advance: Advance) -> list[GateRow]:
    rows = []
    for part in held:
        if part.task.task in CONTROLS:
            advance(part.task.task)
            rows += control_rows(part, backend)
    advance("letters")
    return [*rows, *letter_rows(held, backend)]


def probe_rows(tower: States, twin: Twin, images: ImageSet) -> list[GateRow]:
    """Fit a linear probe for category and for colour on the pooled vector of the consumed layer.

    Args:
        tower: The encoder.
        twin: Says which vector is the pooled one.
        images: Images of one thing each.
    """

    def pooled(pixels: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        states = tower.states([Image.fromarray(image) for image in pixels], [tower.consumed])
        vectors = states.cls_token if twin.pooled == "cls" else None
        if vectors is None:
            vectors = states.patch_tokens[:, 0].mean(dim=(1, 2))
        return list(vectors.float().cpu().numpy())

    features = np.stack(list(in_batches(list(images.pixels), pooled, size=BatchSize(100)).values()))
    category = np.array([facts[0].category for facts in images.facts])
    colour = np.array([facts[0].colour for facts in images.facts])
    return [
        at_least("encoder: category, linear probe", linear_probe(features, category), 0.7),
        at_least("encoder: colour, linear probe", linear_probe(features, colour), 0.9),
    ]


def linear_probe(features: NDArray[np.float32], labels: NDArray[np.str_]) -> Stat:
    """Return the accuracy of multinomial logistic regression on the images after the first 2000.

    Args:
        features: (n, width).
        labels: (n,) class names.
    """
    end = TRAIN + VALIDATION
    best, chosen = -1.0, None
    for strength in (0.01, 0.1, 1.0):
        fitted = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))
        fitted.fit(features[:TRAIN], labels[:TRAIN])
        score = float(fitted.score(features[TRAIN:end], labels[TRAIN:end]))
        if score > best:
            best, chosen = score, fitted
    assert chosen is not None
    right = int((chosen.predict(features[end:]) == labels[end:]).sum())
    return share(right, len(labels) - end)


def control_rows(held: Held, backend: Backend) -> list[GateRow]:
    """Ask a control of a model, with its images and blank, for each attribute and together."""
    name = held.task.task
    blank = Condition.parse("blank")
    unseen = ask(apply_conditions(held.documents, blank), held.task, blank)
    groups: dict[str, NDArray[np.bool_]] = {"": np.ones(len(unseen), bool)}
    for attribute in dict.fromkeys(str(d.row["attribute"]) for d in held.documents):
        groups[f", {attribute}"] = np.array(
            [d.row["attribute"] == attribute for d in held.documents]
        )
    rows = []
    for condition, asked in (("", held.asked), (", blank image", unseen)):
        scores = read_prompted(asked, held.task, backend, batch_size=BATCH).scores
        for group, mask in groups.items():
            stat = accuracy(scores.take(mask))
            label = f"prompted: {name}{group}{condition}"
            if condition:
                chance = float(np.mean(1 / scores.n_choices[mask]))
                rows.append(at_chance(label, stat, chance))
            else:
                rows.append(at_least(label, stat, 0.7))
    return rows


def letter_rows(tasks: Sequence[Held], backend: Backend) -> list[GateRow]:
    """Count, for each task, the documents whose most likely first token is one of the letters."""
    return [
        at_least(
            f"a letter comes first: {held.task.task}",
            share(sum(_begins_with_letter(held, backend)), len(held.documents)),
            0.95,
        )
        for held in tasks
    ]


def _begins_with_letter(held: Held, backend: Backend) -> list[bool]:
    def run(batch: Sequence[Asked]) -> list[bool]:
        prompts = [build_prompt(asked, held.task, backend.spec) for asked in batch]
        first = backend.generate(prompts, GenerationKwargs(max_gen_toks=1))
        pairs = zip(first, batch, strict=True)
        return [reply.text.strip() in asked.document.choices for reply, asked in pairs]

    return list(in_batches(held.asked, run, size=BatchSize(BATCH)).values())


def table(rows: Sequence[GateRow]) -> str:
    """Return the criteria as a markdown table."""
    lines = ["| criterion | measured | 95% interval | asked | met |", "|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row.cells)} |" for row in rows]
    return "\n".join(lines) + "\n"


def as_json(rows: Sequence[GateRow]) -> list[Mapping[str, object]]:
    """Return the criteria as plain mappings."""
    return [
        {
            "criterion": row.criterion,
            "value": row.stat.value,
            "low": None if math.isnan(row.stat.low) else row.stat.low,
            "high": None if math.isnan(row.stat.high) else row.stat.high,
            "n": row.stat.n,
            "target": row.target,
            "passed": row.passed,
        }
        for row in rows
    ]
