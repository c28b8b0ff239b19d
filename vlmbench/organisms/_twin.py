"""A taught twin: a tiny model whose language model has learnt one ability by LoRA."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from vlmbench.metrics import accuracy, chance
from vlmbench.models import ADAPTER_FILES, RECORD, HfBackend, Tower, stored_lora
from vlmbench.organisms._gate import Advance, subject
from vlmbench.organisms._gate_abilities import encoder_scores
from vlmbench.organisms._gate_rows import GateRow, Held, above_chance, at_chance
from vlmbench.organisms._tuning import LESSONS, RANK, SEED, taught
from vlmbench.readouts import read_prompted
from vlmbench.registry import catalogue
from vlmbench.spec import Condition, Tuning, Twin
from vlmbench.tasks import apply_conditions, ask, load_documents
from vlmbench.types import ChoiceScores

TEMPLATE = Path(__file__).parent / "twin.md.jinja"


def teach(
    name: str,
    task: str,
    *,
    output: Path,
    data_root: Path,
    cache: Path,
    include_paths: Sequence[Path] = (),
    tuning: Tuning = LESSONS,
    limit: int | None = None,
    advance: Advance = lambda _: None,
) -> list[GateRow]:
    """Teach a model a task, write the adapter with its card, and return what was measured.

    The control is the same lessons for the same language model behind an encoder with untrained
    weights: what it learns owes nothing to the encoder.

    Args:
        name: Name of a model whose backend is `hf` and whose twin is its own tower.
        task: Name of one rendered task.
        output: Folder for the adapter: what `weights: {lora: ...}` takes.
        data_root: Folder for rendered data.
        cache: Where trained adapters are kept.
        include_paths: More folders of YAML.
        tuning: How it is taught.
        limit: First documents to measure on; all where None.
        advance: Called with what is about to be done.

    Raises:
        VlmbenchError: If the name does not mean exactly one such model.
    """
    found = catalogue(tuple(include_paths))
    (located,) = found.select_tasks(task)
    documents = list(load_documents(located, "reported", data_root, limit))
    held = Held(located, ask(documents, located.spec, Condition()))
    backend, twin = subject(found, name)
    control, _ = subject(found, name)
    _forget(control, twin)
    adapters = {}
    for about, model in (("lessons", backend), ("control", control)):
        said = lambda step, loss, about=about: advance(
            f"{about}: {step} of {tuning.steps} steps, validation loss {loss:.3f}"
        )
        advance(about)
        adapters[about] = taught(
            model, held, data_root=data_root, cache=cache, tuning=tuning, report=said
        )
    advance("measuring")
    rows = _measured(held, backend, twin, adapters["lessons"], data_root, cache)
    with stored_lora(control.model, adapters["control"]):
        rows.append(_chance("the same lessons, encoder untrained", _answers(held, control)))
    output.mkdir(parents=True, exist_ok=True)
    for file in (*ADAPTER_FILES, RECORD):
        shutil.copyfile(adapters["lessons"] / file, output / file)
    (output / "README.md").write_text(
        _card(name, held, output.name, tuning, rows), encoding="utf-8"
    )
    return rows


def _forget(backend: HfBackend, twin: Twin) -> None:
    """Give a model's encoder untrained weights, for good."""
    tower = Tower.inside(backend, twin)
    tower.module.load_state_dict(tower.randomised(SEED).module.state_dict())


def _measured(
    held: Held, backend: HfBackend, twin: Twin, adapter: Path, data_root: Path, cache: Path
) -> list[GateRow]:
    tower = Tower.inside(backend, twin)
    encoder = encoder_scores(held, tower, data_root=data_root, cache=cache)
    by_chance = chance(encoder)
    rows = [
        above_chance("encoder readout", accuracy(encoder), by_chance),
        _chance("prompted, before", _answers(held, backend)),
    ]
    with stored_lora(backend.model, adapter):
        rows.append(above_chance("prompted, after", accuracy(_answers(held, backend)), by_chance))
        blank = Condition.parse("blank")
        unseen = ask(apply_conditions(held.documents, blank), held.task, blank)
        blind = Held(held.located, unseen)
        rows.append(_chance("prompted, after, blank image", _answers(blind, backend)))
    return rows


def _answers(held: Held, backend: HfBackend) -> ChoiceScores:
    return read_prompted(held.asked, held.task, backend).scores


def _chance(label: str, scores: ChoiceScores) -> GateRow:
    return at_chance(label, accuracy(scores), chance(scores))


def _card(name: str, held: Held, twin: str, tuning: Tuning, rows: Sequence[GateRow]) -> str:
    jinja = Environment(  # noqa: S701  (markdown has no use for HTML's escapes)
        undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )
    return jinja.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        name=name, twin=twin, task=held.task.task, rows=rows, lessons=tuning, rank=RANK
    )
