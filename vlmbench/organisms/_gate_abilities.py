"""The gate's last two criteria: is the encoder worth asking, and can the model be taught?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vlmbench.metrics import above, accuracy, chance, corrected, gap
from vlmbench.models import HfBackend, Tower
from vlmbench.organisms._gate_rows import GateRow, Held
from vlmbench.organisms._loop import Report
from vlmbench.organisms._tuning import Tuning, tune
from vlmbench.readouts import read_encoder, read_prompted, read_rule
from vlmbench.spec import CHEAP_RULES, Condition, Encoder, Readout, Role, Rule, rule_obstacle
from vlmbench.tasks import Documents, ask, load_documents
from vlmbench.types import ChoiceScores, Stat

ASKED = 4
"""Abilities, of six, on which the encoder has to be above everything that needs no training."""

LESSONS = 6000
"""Documents of a task's world that LoRA learns from; none is reported."""

SEED = 0

TUNING = Tuning(seed=SEED)
"""At 200 steps of 16 it stays at chance; the loss begins to fall after some 400 steps of 32."""


def ability_row(
    abilities: Sequence[Held], tower: Tower, *, data_root: Path, cache: Path
) -> tuple[GateRow, Held]:
    """Count the abilities on which the encoder beats the untrained encoder and all cheap rules.

    It does where the 95% interval of the paired difference is above 0 for each of them.

    Returns:
        The row, and the ability on which the encoder readout is furthest above chance.
    """
    untrained = tower.randomised(SEED)
    clear, best, best_value = [], abilities[0], -np.inf
    for held in abilities:
        own = _encoder(held, tower, data_root, cache)
        others = [_encoder(held, untrained, data_root, cache), *_rules(held, data_root)]
        if all(above(gap(own, other).low) for other in others):
            clear.append(held.task.task)
        if (value := corrected(accuracy(own), chance(own)).value) > best_value:
            best, best_value = held, value
    named = f" ({', '.join(clear)})" if clear else ""
    row = GateRow(
        criterion=f"encoder above untrained encoder and cheap rules, abilities{named}",
        stat=Stat(value=float(len(clear)), n=len(abilities)),
        target=f"at least {ASKED} of {len(abilities)}",
        passed=len(clear) >= ASKED,
    )
    return row, best


def lora_row(
    held: Held,
    backend: HfBackend,
    data_root: Path,
    *,
    lessons: int = LESSONS,
    tuning: Tuning = TUNING,
    report: Report = lambda _: None,
) -> GateRow:
    """Tune the language model by LoRA on one ability and measure it; changes the model."""
    train = ask(list(more_documents(held, data_root, lessons)), held.task, Condition())
    tune(backend, train, held.task, tuning, report)
    scores = read_prompted(held.asked, held.task, backend).scores
    stat, by_chance = accuracy(scores), chance(scores)
    return GateRow(
        criterion=f"prompted after LoRA on the language model: {held.task.task}",
        stat=stat,
        target=f"interval above chance, {by_chance:.2f}",
        passed=above(stat.low, by_chance),
    )


def more_documents(held: Held, data_root: Path, count: int) -> Documents:
    """Return a training split of `count` documents of a task's world."""
    generator = held.task.bench.generator
    assert generator is not None, "the abilities are rendered"
    larger = generator.model_copy(update={"train": count, "validation": 0, "test": 0})
    bench = held.task.bench.model_copy(update={"generator": larger})
    metadata = held.task.metadata.model_copy(update={"vlmbench": bench})
    located = replace(held.located, spec=held.task.model_copy(update={"metadata": metadata}))
    return load_documents(located, "train", data_root)


def _encoder(held: Held, tower: Tower, data_root: Path, cache: Path) -> ChoiceScores:
    probe = held.task.bench.probe
    assert probe is not None, "the abilities have probes"
    splits = _opened(held, Encoder(), data_root)
    return read_encoder(held.documents, probe, tower, splits, seed=SEED, cache=cache).scores


def _rules(held: Held, data_root: Path) -> list[ChoiceScores]:
    found = []
    for name in CHEAP_RULES:
        if rule_obstacle(name, held.task) is None:
            rule = Rule(name=name)
            train = _opened(held, rule, data_root).get("train")
            found.append(read_rule(held.asked, rule, train).scores)
    return found


def _opened(held: Held, readout: Readout, data_root: Path) -> dict[Role, Documents]:
    """Return the splits that a readout is fitted on."""
    roles = readout.opens(held.task).splits
    return {role: load_documents(held.located, role, data_root) for role in roles}
