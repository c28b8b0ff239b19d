"""Training: what can be learned is, what cannot is not, and a stopped one ends as it would have."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from tuning_task import TASK, documents, examples

from vlmbench.metrics import accuracy
from vlmbench.models import HfBackend, weights_digest
from vlmbench.readouts import read_prompted
from vlmbench.readouts.tuning import learning, train
from vlmbench.readouts.tuning._examples import order_of
from vlmbench.spec import Lora, Prefix, Tuning, WeightChange
from vlmbench.types import Document, VlmbenchError

TRAIN, VALIDATION, REPORTED = documents(0, 64), documents(1000, 24), documents(2000, 60)
QUICK = Tuning(steps=40, batch=8, check_every=10, rate=3e-3)
PREFIX = QUICK.model_copy(update={"rate": 0.1, "steps": 80})


def right(backend: HfBackend, held: list[Document] = REPORTED) -> float:
    asked = examples(held).asked(range(len(held)))
    return accuracy(read_prompted(asked, TASK, backend).scores).value


def trained(
    backend: HfBackend,
    weights: WeightChange,
    folder: Path,
    tuning: Tuning = QUICK,
    held: list[Document] = TRAIN,
    judged: list[Document] = VALIDATION,
    reported: list[Document] = REPORTED,
) -> tuple[float, list[dict[str, float]], dict[str, torch.Tensor]]:
    """Return accuracy on other documents, the checks, and what was trained."""
    with learning(backend, weights, tuning, seed=1) as learner:
        checks = train(
            learner, tuning, examples(held), examples(judged), seed=1,
            checkpoint=folder / "checkpoint.pt",
        )  # fmt: skip
        kept = {name: p.detach().clone() for name, p in learner.trained.items()}
        return right(backend, reported), checks, kept


@pytest.mark.parametrize(
    ("weights", "tuning"),
    [
        (Lora(part="tower"), QUICK),
        (Lora(part="projector"), QUICK),
        (Lora(part="language"), QUICK),
        (Prefix(tokens=5), PREFIX),
    ],
    ids=lambda value: getattr(value, "label", ""),
)
def test_colours_are_learned(backend, weights, tuning, tmp_path):
    """And the model itself is afterwards what it was before, to the bit."""
    digest, before = weights_digest(backend.model), right(backend)
    assert before < 0.75
    found, checks, _ = trained(backend, weights, tmp_path, tuning)
    assert found > 0.9
    best = min(check["validation"] for check in checks)
    assert best < 0.35 * checks[0]["validation"]
    assert weights_digest(backend.model) == digest
    assert right(backend) == before


@pytest.mark.parametrize("part", ["tower", "projector", "language"])
def test_answers_that_say_nothing_are_not_learned(backend, part, tmp_path):
    """The same images, whose answers are as often A for red as for blue ones."""
    drawn = [
        documents(start, count, [index // 2 % 2 for index in range(count)])
        for start, count in ((0, 64), (1000, 24), (2000, 60))
    ]
    found, checks, _ = trained(backend, Lora(part=part), tmp_path, QUICK, *drawn)
    assert 0.3 < found < 0.7
    assert min(check["validation"] for check in checks) > 0.9 * math.log(2)


def test_without_a_better_check_the_untrained_weights_are_kept(backend, tmp_path):
    """Validation answers are the other way round, so that whatever is learned is wrong there."""
    turned = documents(1000, 24, [(index + 1) % 2 for index in range(24)])
    calm = QUICK.model_copy(update={"steps": 200, "check_every": 5, "patience": 3})
    with learning(backend, Lora(part="language"), calm, seed=1) as learner:
        alike = trained_once(learner, calm, tmp_path / "a", VALIDATION)
    with learning(backend, Lora(part="language"), calm, seed=1) as learner:
        other = trained_once(learner, calm, tmp_path / "b", turned)
    best = int(np.argmin([check["validation"] for check in other]))
    assert len(other) - 1 - best == 3  # stopped when three checks in a row were no better
    assert other[-1]["step"] < 200
    assert alike[-1]["step"] > other[-1]["step"]


def trained_once(learner, tuning: Tuning, folder: Path, judged: list[Document]):
    return train(
        learner, tuning, examples(TRAIN), examples(judged), seed=1, checkpoint=folder / "c.pt"
    )


@pytest.mark.parametrize(
    "change", [{"accumulation": 4}, {"checkpointing": True}], ids=lambda change: next(iter(change))
)
def test_saving_memory_changes_nothing_but_rounding(backend, change, tmp_path):
    short = QUICK.model_copy(update={"steps": 6, "check_every": 3})
    weights = Lora(part="tower")
    _, plain, kept = trained(backend, weights, tmp_path / "a", short)
    _, other, alike = trained(backend, weights, tmp_path / "b", short.model_copy(update=change))
    for one, two in zip(plain, other, strict=True):
        assert one["validation"] == pytest.approx(two["validation"], abs=1e-4)
    moved = max(float((kept[name] - alike[name]).abs().max()) for name in kept)
    assert moved < 1e-3
    assert not backend.model.training


class Stopped(Exception):
    pass


@pytest.mark.parametrize(
    "weights", [Lora(part="language"), Prefix(tokens=3)], ids=["lora", "prefix"]
)
def test_a_stopped_training_goes_on_and_ends_with_the_same_numbers(
    backend, weights, tmp_path, monkeypatch
):
    from vlmbench.readouts.tuning import _examples

    accuracy_whole, whole, kept = trained(backend, weights, tmp_path / "whole")
    run, calls = _examples.gold_losses, []

    def stop(*given):
        calls.append(given)
        if len(calls) == 30:
            raise Stopped
        return run(*given)

    monkeypatch.setattr(_examples, "gold_losses", stop)
    with pytest.raises(Stopped):
        trained(backend, weights, tmp_path / "parts")
    before = len(calls)
    found, checks, again = trained(backend, weights, tmp_path / "parts")
    assert 0 < len(calls) - before < 40 + 5 * 3  # the first steps were not taken again
    assert found == accuracy_whole
    assert [c["validation"] for c in checks] == [c["validation"] for c in whole]
    assert all(torch.equal(kept[name], again[name]) for name in kept)


def test_a_training_that_diverges_is_stopped_with_what_to_do(backend, tmp_path):
    wild = QUICK.model_copy(update={"rate": 1e4})
    with pytest.raises(VlmbenchError, match=r"diverged: .*\n +Lower it; it is 10000 now"):
        trained(backend, Lora(part="language"), tmp_path, wild)
    assert not list(tmp_path.iterdir())
    found, _, _ = trained(backend, Lora(part="language"), tmp_path)  # nothing of it is left
    assert found > 0.9


def test_a_loss_that_is_no_number_is_stopped(backend, tmp_path, monkeypatch):
    from vlmbench.readouts.tuning import _examples

    run = _examples.gold_losses
    monkeypatch.setattr(_examples, "gold_losses", lambda *given: run(*given) * math.nan)
    with pytest.raises(VlmbenchError, match="diverged: the validation loss at step 0 is nan"):
        trained(backend, Lora(part="language"), tmp_path)


def test_memory_that_runs_out_names_the_ways_to_save_it(backend, tmp_path, monkeypatch):
    from vlmbench.readouts.tuning import _examples

    def full(*given):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(_examples, "gold_losses", full)
    with pytest.raises(VlmbenchError, match="`accumulation` higher, or `checkpointing: true`"):
        trained(backend, Lora(part="language"), tmp_path)


def test_every_document_is_seen_before_any_is_seen_again():
    tuning = Tuning(steps=10, batch=4)
    order = order_of(16, tuning, seed=3)
    assert [len(step) for step in order] == [4] * 10
    seen = [index for step in order for index in step]
    assert Counter(seen[:16]) == Counter(seen[16:32]) == Counter(range(16))
    assert len(set(seen[32:])) == 8
    assert order == order_of(16, tuning, seed=3) != order_of(16, tuning, seed=4)


def test_every_part_sees_the_same_documents_in_the_same_order(backend, tmp_path, monkeypatch):
    from vlmbench.readouts.tuning import _examples

    run, seen = _examples.gold_losses, list[list[bytes]]()

    def spy(backend, prompts, *more):
        seen[-1].extend(image.tobytes() for prompt in prompts for image in prompt.images)
        return run(backend, prompts, *more)

    monkeypatch.setattr(_examples, "gold_losses", spy)
    short = QUICK.model_copy(update={"steps": 4, "check_every": 2})
    for weights in (Lora(part="tower"), Lora(part="language"), Prefix(tokens=2)):
        seen.append([])
        trained(backend, weights, tmp_path / weights.label, short)
    tower, language, prefix = seen
    assert tower == language == prefix
    assert len(tower) == 4 * 8 + 3 * len(VALIDATION)


def test_what_is_learned_from_is_told_apart_by_its_digest():
    own = examples(TRAIN).digest()
    assert examples(list(TRAIN)).digest() == own
    assert examples(TRAIN, most=63).digest() != own
    flipped = [*TRAIN[:-1], *documents(63, 1, [0])]
    assert examples(flipped).digest() != own
    with pytest.raises(VlmbenchError, match="'t' has no documents in a split that is trained on"):
        examples([]).digest()
