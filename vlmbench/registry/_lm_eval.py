"""Tasks with images that ship with lm-eval, named as `lm_eval:mmmu_val_art`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from vlmbench.registry._select import Named
from vlmbench.spec import Located, TaskSpec, load_data, nearest
from vlmbench.types import Problem, VlmbenchError

LM_EVAL_PREFIX = "lm_eval:"
"""What a term starts with that names one of lm-eval's own tasks."""

_READ = ("multiple_choice", "generate_until")
# Keys whose meaning no Document carries; a value other than these would change the question.
_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "doc_to_audio": (None,),
    "gen_prefix": (None, ""),
    "num_fewshot": (None, 0),
    "repeats": (None, 1),
    "unsafe_code": (None, False),
    "use_prompt": (None,),
    "class": (None,),
    "custom_dataset": (None,),
}


@lru_cache(maxsize=1)
def _index() -> dict[str, Any]:
    """Return lm-eval's index of the folders in which some task asks about images.

    All of its folders hold fifteen thousand files, which take seconds to parse; nothing of a
    task's Python is run.
    """
    from lm_eval.tasks._index import TaskIndex

    spec = find_spec("lm_eval.tasks")
    assert spec is not None, "lm-eval is a dependency"
    root = Path(next(iter(spec.submodule_search_locations or ())))
    files = [*root.rglob("*.yaml"), *root.rglob("*_yaml")]
    folders = {file.parent for file in files if b"doc_to_image" in file.read_bytes()}
    return dict(TaskIndex.build(sorted(folders)))


def shipped_yaml(name: str) -> Path:
    """Return the file in which lm-eval keeps a task that asks about images.

    Raises:
        VlmbenchError: If it does not ship such a task.
    """
    entry = _index().get(name)
    if entry is None or entry.yaml_path is None or entry.kind.name != "TASK":
        raise VlmbenchError(_unknown(name))
    return Path(entry.yaml_path)


def lm_eval_tasks(term: str) -> Named[TaskSpec]:
    """Return the specs that `lm_eval:NAME` or `lm_eval:NAME:METRIC` means; nothing for others.

    A spec takes its documents from lm-eval's task, and for generated text their credit too: the
    metric named, or else the first that the task lists.

    Args:
        term: The term; the name is a task's, a group's or a tag's of lm-eval.

    Raises:
        VlmbenchError: If lm-eval does not ship such a task with images, or with the reasons why a
            task cannot be asked here document by document.
    """
    if not term.startswith(LM_EVAL_PREFIX):
        return []
    name, _, metric = term.removeprefix(LM_EVAL_PREFIX).partition(":")
    problems: list[Problem] = []
    found: Named[TaskSpec] = []
    for member in _leaves(name):
        config = _index()[member].cfg
        reasons = list(_reasons(config, metric))
        if reasons:
            field = f"{LM_EVAL_PREFIX}{member}"
            problems += [Problem(field=field, message=reason) for reason in reasons]
            continue
        located = _spec(member, config, metric)
        found.append((located.spec.task, located))
    if problems:
        raise VlmbenchError(problems)
    return found


def _leaves(name: str) -> Iterator[str]:
    """Yield the tasks that a name refers to."""
    entry = _index().get(name)
    if entry is None:
        raise VlmbenchError(_unknown(name))
    match entry.kind.name:
        case "GROUP":
            for member in _members(entry):
                if not isinstance(member, str):
                    message = f"its group `{name}` changes tasks, so it cannot be used here"
                    raise VlmbenchError(Problem(field=f"{LM_EVAL_PREFIX}{name}", message=message))
                yield from _leaves(member)
        case "TAG":
            yield from sorted(entry.tags)
        case _:
            yield name


def _members(entry: Any) -> list[Any]:
    return entry.cfg["task"] if entry.kind.name == "GROUP" else []


def _unknown(name: str) -> Problem:
    index = _index()
    inner = {member for entry in index.values() for member in _members(entry)}
    near = [f"Did you mean `{guess}`? " for guess in nearest(name, tuple(index))]
    return Problem(
        message=f"lm-eval does not ship a task `{name}` with images",
        remedy=f"{''.join(near)}Its tasks with images are "
        f"{', '.join(sorted(set(index) - inner))}; text-only tasks run with `vlmbench "
        "lm-eval`.",
    )


def _reasons(config: Mapping[str, Any], metric: str) -> Iterator[str]:
    """Yield why a task does not fit, in plain words."""
    if not config.get("doc_to_image"):
        yield "it has no images; run it with `vlmbench lm-eval`"
    for key, plain in _PLAIN.items():
        if config.get(key) not in plain:
            yield f"its `{key}: {config[key]}` has no counterpart here; use `vlmbench lm-eval`"
    kind = config.get("output_type", "generate_until")
    if kind not in _READ:
        yield f"its `output_type: {kind}` is neither {' nor '.join(_READ)}"
        return
    if "llm_judge" in str(config.get("process_results", "")):
        yield "its own code asks a hosted model for the credit, at your expense"
    kwargs = config.get("generation_kwargs") or {}
    if kwargs.get("do_sample") or kwargs.get("temperature"):
        yield "it samples its answers, so they cannot be reproduced"
    yield from _metric_reasons(config, kind, metric)


def _metric_reasons(config: Mapping[str, Any], kind: str, metric: str) -> Iterator[str]:
    """Yield why no metric of a task is the mean of a credit per document."""
    listed = _metrics(config)
    wanted = metric or _first(config)
    if wanted not in listed:
        yield f"it has no metric `{wanted}`, only {', '.join(listed) or 'none'}"
    elif kind == "multiple_choice" and (wanted != "acc" or config.get("process_results")):
        yield (
            f"its metric `{wanted}` is not the likeliest choice's accuracy (`acc`), which is how "
            "choices are read here"
        )
    elif listed[wanted] not in (None, "mean"):
        yield (
            f"its metric `{wanted}` is aggregated by `{listed[wanted]}`, so documents have no "
            "credit of their own"
        )


def _metrics(config: Mapping[str, Any]) -> dict[str, str | None]:
    """Return metric -> aggregation; functions go by their own name, as in lm-eval's results."""
    listed = config.get("metric_list")
    if not listed:
        return {"acc": None} if config.get("output_type") == "multiple_choice" else {}
    return {
        _function_name(entry["metric"]): _optional_name(entry.get("aggregation"))
        for entry in listed
    }


def _first(config: Mapping[str, Any]) -> str:
    listed = _metrics(config)
    if config.get("output_type") == "multiple_choice" and "acc" in listed:
        return "acc"
    return next(iter(listed), "")


def _function_name(value: str) -> str:
    """Return `exact_match` of `/path/to/utils.exact_match`, the form of an unresolved function."""
    return value.rpartition(".")[2] if "/" in value or "\\" in value else value


def _optional_name(value: str | None) -> str | None:
    return None if value is None else _function_name(value)


def _spec(name: str, config: Mapping[str, Any], metric: str) -> Located[TaskSpec]:
    """Return the spec of a shipped task; its columns are those of `vlmbench.tasks`."""
    free = config.get("output_type", "generate_until") == "generate_until"
    credit = metric or _first(config)
    alias = str(config.get("task_alias") or name)
    several = free and len(_metrics(config)) > 1
    values: dict[str, Any] = {
        "task": re.sub(r"[^A-Za-z0-9_.\-]", "_", ".".join(filter(None, ("lm_eval", name, metric)))),
        "task_alias": f"{alias} ({credit})" if several else alias,
        "dataset_path": config.get("dataset_path"),
        "dataset_name": config.get("dataset_name"),
        "dataset_kwargs": config.get("dataset_kwargs"),
        "test_split": config.get("test_split") or config.get("validation_split"),
        "output_type": "generate_until" if free else "multiple_choice",
        "description": "{{ lm_eval_description }}",
        "doc_to_text": "lm_eval_text",
        "doc_to_image": "lm_eval_images",
        "doc_to_choice": None if free else "lm_eval_choices",
        "doc_to_target": 0 if free else "lm_eval_target",
        "target_delimiter": config.get("target_delimiter", " "),
        "metadata": {
            "version": (config.get("metadata") or {}).get("version", 1.0),
            "vlmbench": {
                "ability": name.partition("_")[0],
                "lm_eval": {"task": name, "metric": credit if free else None},
                "source": {"title": f"{name} of lm-eval"},
            },
        },
    }
    if free:
        kwargs = config.get("generation_kwargs") or {}
        values["fewshot_delimiter"] = config.get("fewshot_delimiter")
        values["generation_kwargs"] = {
            key: kwargs[key] for key in ("until", "max_gen_toks") if key in kwargs
        }
    given = {key: value for key, value in values.items() if value is not None}
    return cast("Located[TaskSpec]", load_data(given, Path(f"{LM_EVAL_PREFIX}{name}")))
