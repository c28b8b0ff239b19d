"""inspect_ai logs of a run: one for each model, task and condition, that `inspect view` opens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmbench.files import replacing
from vlmbench.metrics import PROMPTED
from vlmbench.publish._facts import models_of
from vlmbench.publish._results import Result, results
from vlmbench.publish._samples import Sample, samples
from vlmbench.spec import Hidden, Internals
from vlmbench.store import Run, file_stem
from vlmbench.types import Problem, VlmbenchError, file_name

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample, EvalScore
    from inspect_ai.scorer import Score

_NOT_SAMPLED = (Hidden.kind_of(), Internals.kind_of())


def export_inspect(run: Run, output: Path, *, at: int) -> list[Path]:
    """Write a log `MODEL_TASK_CONDITION.eval` for each of a run's; return their paths.

    Each readout is a scorer. A document that failed is unscored in it, and one that was not
    answered earns 0. Images are not in the records, so the logs have none.

    Args:
        run: A finished run.
        output: Folder to write to.
        at: When it is exported, in seconds since 1970: a run does not record when it was made.

    Raises:
        VlmbenchError: If inspect_ai is not installed, or a record or file cannot be used.
    """
    try:
        from inspect_ai.log import write_eval_log
    except ImportError as error:
        message = f"inspect_ai cannot be imported: {error}"
        remedy = "Install it: pip install 'vlmbench-gap[publish]'."
        raise VlmbenchError(Problem(message=message, remedy=remedy)) from None
    written = []
    for model in models_of(run):
        for task in run.manifest.tasks:
            for condition, found in _cells(run, model, task).items():
                name = f"{file_stem(model)}_{file_name(task)}_{file_name(condition)}.eval"
                log = _log(run, model, task, condition, found, at)
                with replacing(output / name) as half:
                    write_eval_log(log, half, format="eval")
                written.append(output / name)
    return written


def _cells(run: Run, model: str, task: str) -> dict[str, dict[str, list[Sample]]]:
    """Return the documents of each readout, by condition; the prompted one first."""
    found: dict[str, dict[str, list[Sample]]] = {}
    for record in run.records(model, task):
        basis = record.require().basis
        if basis.readout not in _NOT_SAMPLED:
            found.setdefault(basis.condition.label, {})[basis.readout] = samples(record)
    return {
        condition: dict(sorted(cells.items(), key=lambda cell: (cell[0] != PROMPTED, cell[0])))
        for condition, cells in found.items()
    }


def _log(
    run: Run, model: str, task: str, condition: str, cells: Mapping[str, list[Sample]], at: int
) -> EvalLog:
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalResults, EvalSpec

    manifest, about = run.manifest, run.manifest.tasks[task]
    name = hashlib.sha256(f"{manifest.plan}/{model}/{task}/{condition}".encode()).hexdigest()[:22]
    held = list(_samples(model, cells))
    ids = [str(sample.id) for sample in held]
    of = [one for one in results(run, model, task) if one.row.condition == condition]
    return EvalLog(
        status="success",
        eval=EvalSpec(
            eval_id=name,
            run_id=manifest.plan[:22],
            created=datetime.fromtimestamp(at, UTC).isoformat(),
            task=task,
            task_id=name,
            task_version=str(about.version),
            task_args={"condition": condition},
            dataset=EvalDataset(name=task, samples=len(ids), sample_ids=ids, shuffled=False),
            model=f"vlmbench/{model}",
            model_args=manifest.models[model].model_dump(mode="json", exclude_none=True),
            config=EvalConfig(limit=about.limit, epochs=1),
            packages={"vlmbench": manifest.versions.vlmbench},
            metadata={
                "created": "when the log was exported; the run does not say when it was made",
                "study": manifest.study,
                "seed": manifest.seed,
                "documents": about.documents,
                "versions": manifest.versions.model_dump(mode="json"),
            },
        ),
        results=EvalResults(
            total_samples=len(held),
            completed_samples=sum(sample.error is None for sample in held),
            scores=list(_scores(of, cells)),
        ),
        samples=held,
    )


def _samples(model: str, cells: Mapping[str, list[Sample]]) -> Iterator[EvalSample]:
    """Yield each document with what every readout scored; what was asked is the first one's."""
    from inspect_ai.log import EvalError, EvalSample
    from inspect_ai.model import ChatMessageUser, ModelOutput

    by_id: dict[str, dict[str, Sample]] = {}
    for readout, held in cells.items():
        for one in held:
            by_id.setdefault(one.doc_id, {})[readout] = one
    for doc_id, found in by_id.items():
        asked = next(iter(found.values()))
        failed = [f"{name}: {one.error}" for name, one in found.items() if one.credit is None]
        all_failed = len(failed) == len(found)
        output = ModelOutput.from_content(f"vlmbench/{model}", asked.response)
        written = [output.message] if asked.response else []
        yield EvalSample(
            id=doc_id,
            epoch=1,
            input=asked.prompt,
            choices=list(asked.choices) or None,
            target=asked.reference,
            messages=[ChatMessageUser(content=asked.prompt), *written] if asked.prompt else [],
            output=output,
            scores={name: _score(one) for name, one in found.items()},
            metadata={"finish": asked.finish} if asked.finish else {},
            error=EvalError(message="; ".join(failed), traceback="", traceback_ansi="")
            if all_failed
            else None,
        )


def _score(sample: Sample) -> Score:
    """Return what one readout scored; unscored where it failed, which is not wrong."""
    from inspect_ai.scorer import Score

    said: dict[str, Any] = {"scores": sample.json_scores}
    if sample.credit is None:
        return Score.unscored(reason="failed", explanation=sample.error, metadata=said)
    return Score(
        value=sample.credit,
        answer=", ".join(sample.answered) or sample.response or None,
        explanation="no readable answer" if sample.abstained else None,
        reason="abstained" if sample.abstained else None,
        metadata=said | {"abstained": sample.abstained},
    )


def _scores(of: list[Result], cells: Mapping[str, list[Sample]]) -> Iterator[EvalScore]:
    """Yield the published numbers: of each readout, and of what compares two."""
    from inspect_ai.log import EvalMetric, EvalScore

    by_readout: dict[str, list[Result]] = {}
    for one in of:
        by_readout.setdefault(one.row.readout, []).append(one)
    for readout, found in by_readout.items():
        held = cells.get(readout)
        failed = None if held is None else sum(one.credit is None for one in held)
        yield EvalScore(
            name=readout,
            scorer=readout,
            scored_samples=None if held is None or failed is None else len(held) - failed,
            unscored_samples=failed,
            metrics={
                one.row.metric: EvalMetric(
                    name=one.row.metric,
                    value=one.row.value,
                    metadata={"low": one.row.low, "high": one.row.high, **one.details()},
                )
                for one in found
            },
        )
