"""The gate's last two criteria: is the encoder worth asking, and can the model be taught?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vlmbench.metrics import above, accuracy, chance, corrected, gap
from vlmbench.models import HfBackend, Tower, stored_lora
from vlmbench.organisms._gate_rows import GateRow, Held, above_chance
from vlmbench.organisms._tuning import LESSONS, SEED, Checked, taught
from vlmbench.readouts import read_encoder, read_prompted, read_rule
from vlmbench.spec import (
    CHEAP_RULES,
    Encoder,
    Readout,
    Role,
    Rule,
    Tuning,
    rule_obstacle,
)
from vlmbench.tasks import Documents, load_documents
from vlmbench.types import ChoiceScores, Stat

ASKED = 4
"""Abilities, of six, on which the encoder has to be above everything that needs no training."""


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
        own = encoder_scores(held, tower, data_root=data_root, cache=cache)
        others = [
            encoder_scores(held, untrained, data_root=data_root, cache=cache),
            *_rules(held, data_root),
        ]
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
    *,
    data_root: Path,
    cache: Path,
    tuning: Tuning = LESSONS,
    report: Checked = lambda *_: None,
) -> GateRow:
    """Teach the language model one ability by LoRA and measure it."""
    adapter = taught(backend, held, data_root=data_root, cache=cache, tuning=tuning, report=report)
    with stored_lora(backend.model, adapter):
        scores = read_prompted(held.asked, held.task, backend).scores
    criterion = f"prompted after LoRA on the language model: {held.task.task}"
    return above_chance(criterion, accuracy(scores), chance(scores))


def encoder_scores(held: Held, tower: Tower, *, data_root: Path, cache: Path) -> ChoiceScores:
    """Read an encoder by the task's own probe."""
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
