"""Every Eval Ever 0.3.0: an aggregate and its samples for each model and task of a run."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from vlmbench.publish._facts import Facts, models_of
from vlmbench.publish._results import Result, results
from vlmbench.publish._samples import Sample, samples
from vlmbench.spec import Hidden
from vlmbench.store import ModelRecord, Run, Versions
from vlmbench.types import file_name

SCHEMA: Final = "0.3.0"

_ENGINES = {"hf": "transformers"}
_READ = {
    "logprob": "highest log-likelihood",
    "similarity": "highest similarity",
    "probability": "highest probability",
    "vote": "rule on the text",
    "credit": "lm-eval's metric",
}


def every_eval_ever(run: Run, facts: Facts, *, at: int) -> dict[str, str]:
    """Return the text of every file of a run by its path in the datastore.

    Paths are `data/vlmbench-TASK/ORGANIZATION/NAME/UUID.json` and `UUID_samples.jsonl`; the UUID
    follows from the run, so that publishing it again replaces the files.

    Args:
        run: A finished run.
        facts: What its publisher says.
        at: When it is published, in seconds since 1970. A run does not record when it was made.

    Raises:
        VlmbenchError: If a model's repository is not known, or a record cannot be read.
    """
    found: dict[str, str] = {}
    for model in models_of(run):
        for task in run.manifest.tasks:
            of_task = results(run, model, task)
            if of_task:
                found |= _files(run, model, task, of_task, facts, at)
    return found


def _files(
    run: Run, model: str, task: str, of_task: list[Result], facts: Facts, at: int
) -> dict[str, str]:
    """Return the two files of a model and task; the second only where it has lines."""
    repository, collection = facts.repository(run, model), file_name(f"vlmbench-{task}")
    stem = f"data/{collection}/{repository}/{_uuid(run, model, task)}"
    aggregate = {
        "schema_version": SCHEMA,
        "evaluation_id": f"{collection}/{repository}/{at}",
        "retrieved_timestamp": str(at),
        "source_metadata": {
            "source_name": f"vlmbench study {run.manifest.study}",
            "source_type": "evaluation_run",
            "source_organization_name": facts.organization,
            "evaluator_relationship": facts.relationship,
            "additional_details": {"seed": str(run.manifest.seed), "plan": run.manifest.plan},
        },
        "eval_library": _library(run.manifest.versions),
        "model_info": _model(run.manifest.models[model], model, repository, run.manifest.versions),
        "evaluation_results": [_result(run, task, collection, result, facts) for result in of_task],
    }
    lines = [
        json.dumps(line, allow_nan=False)
        for line in _lines(run, model, task, {result.name for result in of_task})
        for line in [_REQUIRED | line | _ids(aggregate)]
    ]
    text = "".join(f"{line}\n" for line in lines)
    if lines:
        aggregate["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": f"{stem}_samples.jsonl",
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(text.encode()).hexdigest(),
            "total_rows": len(lines),
        }
    whole = json.dumps(aggregate, indent=1, allow_nan=False) + "\n"
    return {f"{stem}.json": whole} | ({f"{stem}_samples.jsonl": text} if lines else {})


_REQUIRED = {"schema_version": SCHEMA, "interaction_type": "single_turn"}


def _ids(aggregate: Mapping[str, Any]) -> dict[str, str]:
    return {
        "evaluation_id": aggregate["evaluation_id"],
        "model_id": aggregate["model_info"]["id"],
    }


def _uuid(run: Run, model: str, task: str) -> UUID:
    """Return a UUID that follows from what was run, in the shape of a random one."""
    manifest = run.manifest
    said = [manifest.plan, manifest.stats, manifest.models[model].weights, model, task]
    return UUID(bytes=hashlib.sha256(json.dumps(said).encode()).digest()[:16], version=4)


def _texts(**values: object) -> dict[str, str]:
    """Return what is known of some values, as text."""
    return {name: str(value) for name, value in values.items() if value is not None}


def _library(versions: Versions) -> dict[str, Any]:
    others = versions.model_dump(exclude={"vlmbench"})
    return {
        "name": "vlmbench",
        "version": versions.vlmbench,
        "additional_details": _texts(**others),
    }


def _model(record: ModelRecord, name: str, repository: str, versions: Versions) -> dict[str, Any]:
    engine = _ENGINES.get(record.backend or "", record.backend)
    about: dict[str, Any] = {
        "name": record.alias or name,
        "id": repository,
        "developer": repository.partition("/")[0],
        "additional_details": {
            "deployment_type": "self_deployed" if record.server is None else "unknown",
            "model_availability": "unknown",
            **_texts(
                vlmbench_name=name,
                revision=record.revision,
                lora=record.lora,
                weights_sha256=record.weights,
                encoder=record.twin,
                encoder_layer=record.layer,
                encoder_weights=record.relation,
                encoder_weights_sha256=record.encoder_weights,
                device=record.device,
                dtype=record.dtype,
            ),
        },
    }
    if engine is not None and record.server is None:
        about["inference_engine"] = _texts(name=engine, version=versions.of(engine))
    return about


def _result(run: Run, task: str, collection: str, result: Result, facts: Facts) -> dict[str, Any]:
    about, row = run.manifest.tasks[task], result.row
    low, high = result.bounds
    uncertainty: dict[str, Any] = {} if row.n is None else {"num_samples": row.n}
    if not math.isnan(row.low):
        uncertainty["confidence_interval"] = {
            "lower": row.low,
            "upper": row.high,
            "confidence_level": 0.95,
            "method": result.measure.interval,
        }
    return {
        "evaluation_result_id": result.name,
        "evaluation_name": f"{task} {result.name}",
        "source_data": {
            "dataset_name": collection,
            "source_type": "hf_dataset",
            "hf_repo": facts.dataset,
            "samples_number": about.n,
            "additional_details": _texts(
                task=task, ability=about.ability, version=about.version, documents=about.documents,
                data=about.data, n=about.n, of=about.of, limit=about.limit, source=about.source,
            ),
        },
        "metric_config": {
            "evaluation_description": result.measure.says,
            "metric_id": row.metric if row.metric == "accuracy" else f"vlmbench.{row.metric}",
            "metric_name": result.measure.name,
            "metric_kind": row.metric,
            "metric_unit": "proportion",
            "metric_parameters": {"condition": row.condition, "readout": row.readout},
            "lower_is_better": result.measure.lower_is_better,
            "score_type": "continuous",
            "min_score": _bound(low),
            "max_score": _bound(high),
        },
        "score_details": {
            "score": row.value,
            "details": result.details(),
            "uncertainty": uncertainty,
        },
    }  # fmt: skip


def _bound(value: float) -> float | str:
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _lines(run: Run, model: str, task: str, published: set[str]) -> Iterator[dict[str, Any]]:
    """Yield a line for each document of each cell whose accuracy is published."""
    for record in run.records(model, task):
        about = record.require()
        name = f"{about.basis.condition.label}/{about.basis.readout}/accuracy"
        if name not in published or about.basis.readout == Hidden.kind_of():
            continue
        for sample in samples(record):
            if sample.credit is not None:  # the format cannot say that one has failed
                yield _line(task, name, sample, about.scale)


def _line(task: str, name: str, sample: Sample, scale: str) -> dict[str, Any]:
    given = sample.answered or ((sample.response,) if scale == "credit" else ())
    return {
        "evaluation_name": f"{task} {name}",
        "evaluation_result_id": name,
        "sample_id": sample.doc_id,
        "input": {
            "raw": sample.prompt,
            "formatted": sample.prompt,
            "reference": [sample.reference],
            **({"choices": list(sample.choices)} if sample.choices else {}),
        },
        "output": {"raw": [sample.response] if sample.response else []},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": "output.raw" if sample.response else "scores of the choices",
                "extracted_value": text,
                "extraction_method": _READ[scale],
                "is_terminal": True,
            }
            for text in ([] if sample.abstained else given)
        ],
        "evaluation": {"score": sample.credit, "is_correct": sample.credit == 1.0},
        "metadata": _texts(
            abstained=str(sample.abstained).lower(),
            scores=json.dumps(sample.json_scores),
            finish=sample.finish or None,
        ),
    }
