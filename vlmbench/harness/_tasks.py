"""What `vlmbench lm-eval --tasks` names: our task files, and everything that lm-eval knows."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmbench.registry import LM_EVAL_PREFIX, Catalogue, catalogue
from vlmbench.spec import InText, Located, TaskSpec, did_you_mean, nearest
from vlmbench.tasks import apply_conditions, check_documents, load_documents, task_over
from vlmbench.types import Problem, VlmbenchError

if TYPE_CHECKING:
    from lm_eval.api.group import Group
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks import TaskManager

IMAGES = "vlmbench_images"
"""Column that brings a document's images, paths resolved and conditions applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """Tasks as `lm_eval.simple_evaluate` takes them.

    Attributes:
        tasks: Task objects and groups for our own files, names for lm-eval's.
        manager: Knows the names.
    """

    tasks: tuple[ConfigurableTask | Group | str, ...]
    manager: TaskManager


def known(include_paths: Sequence[Path]) -> Catalogue:
    """Return the catalogue, overlooking files on the path that are lm-eval's alone.

    Raises:
        VlmbenchError: For mistakes in any file that has a `vlmbench` block, or is not a task.
    """
    found = catalogue(include_paths)
    ours = [problem for problem in found.problems if not _is_foreign(problem)]
    if ours:
        raise VlmbenchError(ours)
    return replace(found, problems=())


def _is_foreign(problem: Problem) -> bool:
    """Tell whether a problem lies in a task or group file that does not speak to vlmbench."""
    path = Path(problem.file)
    if not path.is_file():
        return False
    text = path.read_text(encoding="utf-8", errors="replace")
    return "vlmbench:" not in text and ("task:" in text or "dataset_path:" in text)


def select(tasks: str, include_paths: Sequence[Path], data_root: Path) -> Selected:
    """Return what a comma-separated list of terms means.

    A term that our catalogue knows as a task with a `vlmbench` block, or as a group, tag or glob
    of such, and the path of a YAML, is one of our task files: lm-eval's own templates, filters
    and metrics run over our documents, with relative paths, drawn data and conditions as
    `vlmbench run` has them. Every other term, and any with `lm_eval:` before it, is lm-eval's: a
    task, group, tag or glob that it ships, or that an included folder holds.

    Args:
        tasks: The terms.
        include_paths: More folders of YAML, for both.
        data_root: Folder for rendered data.

    Raises:
        VlmbenchError: For every term that means nothing, or whatever is wrong with the data.
    """
    found = known(include_paths)
    chosen: list[ConfigurableTask | Group | str] = []
    foreign: list[str] = []
    for term in filter(None, (part.strip() for part in tasks.split(","))):
        if _is_ours(term, found):
            chosen += _ours(term, found, data_root)
        else:
            foreign.append(term.removeprefix(LM_EVAL_PREFIX))
    manager, names = _theirs(foreign, tuple(include_paths))
    if not chosen and not names:
        raise VlmbenchError(Problem(field="--tasks", message=f"{tasks!r} does not select any task"))
    _refuse_doubles(chosen)
    return Selected(tasks=(*chosen, *names), manager=manager)


def _is_ours(term: str, found: Catalogue) -> bool:
    if term.startswith(LM_EVAL_PREFIX):
        return False
    bundled = {**found.tags, **found.members}.get(term, ())
    named = (term,) if term in found.tasks else bundled
    names = named or [name for name in found.tasks if fnmatchcase(name, term)]
    # A file without our block is lm-eval's alone here, so that it is shown examples if asked to.
    ours = any("vlmbench" in (found.tasks[name].raw.get("metadata") or {}) for name in names)
    return ours or term.endswith((".yaml", ".yml"))


def _ours(term: str, found: Catalogue, data_root: Path) -> list[ConfigurableTask | Group]:
    tasks = [our_task(located, data_root) for located in found.select_tasks(term)]
    if term not in found.groups:
        return tasks
    from lm_eval.api.group import Group

    spec = found.groups[term].spec
    group = Group.from_config(
        {
            "group": spec.group,
            "group_alias": spec.group_alias,
            "task": list(found.members[term]),
            "aggregate_metric_list": [dict(entry) for entry in spec.aggregate_metric_list or ()]
            or None,
            "metadata": dict(spec.metadata),
        }
    )
    for task in tasks:
        group.add(task)
    return [group]


def our_task(located: Located[TaskSpec], data_root: Path) -> ConfigurableTask:
    """Return lm-eval's task object for one of our task files, over our documents.

    It is given only the reported split, and shows no examples, because ours have none. Images are
    those that `vlmbench run` shows: a blind variant's are blank.

    Raises:
        VlmbenchError: If the data is missing or wrong, or the task is not a prompted one.
    """
    from datasets import Image, List

    spec = located.spec
    if spec.bench.lm_eval is not None:
        message = "the file refers to a task that ships with lm-eval"
        remedy = f"Use its own name: {LM_EVAL_PREFIX}{spec.bench.lm_eval.task}."
        raise VlmbenchError(located.problem("metadata.vlmbench.lm_eval", message, remedy))
    if isinstance(spec.bench.markers, InText):
        message = "only `vlmbench run` checks that coordinates in prompts fit what a model is shown"
        raise VlmbenchError(located.problem("metadata.vlmbench.markers", message))
    _refuse_condition(located)
    metrics = _metrics(located)
    documents = load_documents(located, "reported", data_root)
    check_documents(documents)
    shown = apply_conditions(list(documents), spec.bench.condition, task=located)
    plain = [column for column in documents.dataset.column_names if column in shown[0].row]
    # `datasets` decodes them: those that it would decode otherwise than we do are given as PNG.
    pictures = [
        [
            {"bytes": (image if image.is_plain else image.as_png()).data, "path": None}
            for image in document.images
        ]
        for document in shown
    ]
    rows = documents.dataset.select_columns(plain).add_column(IMAGES, pictures)
    rows = rows.cast_column(IMAGES, List(Image()))
    config = copy.deepcopy(dict(located.raw))
    _in_sandbox()
    given = {"doc_to_image": IMAGES, "num_fewshot": 0, "metric_list": metrics}
    return task_over(config | given, rows)


@lru_cache(maxsize=1)
def _in_sandbox() -> None:
    """Let lm-eval render templates as it does, without what reaches Python behind a value."""
    import lm_eval.utils
    from jinja2 import BaseLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    sandbox = SandboxedEnvironment(
        loader=BaseLoader(), undefined=StrictUndefined, keep_trailing_newline=True, optimized=False
    )
    sandbox.filters.update(lm_eval.utils.env.filters)
    lm_eval.utils.env = sandbox


def _metrics(located: Located[TaskSpec]) -> list[dict[str, Any]] | None:
    """Return a task's metrics, which are lm-eval's own: it runs code that others name."""
    import lm_eval.api.metrics  # noqa: F401 -- which registers them
    from lm_eval.api.registry import AGGREGATION_REGISTRY, METRIC_REGISTRY

    for place, metric in enumerate(located.spec.metric_list or ()):
        for name, known in (
            (metric.metric, METRIC_REGISTRY), (metric.aggregation, AGGREGATION_REGISTRY)
        ):  # fmt: skip
            if name is not None and name not in known:
                keys = ("metric_list", place)
                message = f"{name!r} is not lm-eval's own, and no other is downloaded or run"
                remedy = did_you_mean(name, tuple(known), what="It has")
                raise VlmbenchError(located.problem(keys, message, remedy))
    listed = located.spec.metric_list
    return None if listed is None else [one.model_dump(exclude_none=True) for one in listed]


def _refuse_condition(located: Located[TaskSpec]) -> None:
    """Refuse what goes beyond other images: lm-eval renders prompts and batches by itself."""
    condition = located.spec.bench.condition
    message = ""
    if not condition.is_own_model:
        message = "its condition changes weights or forward pass, which lm-eval does not"
    elif (
        condition.text.changes_prompt
        or condition.batch != "usual"
        or not condition.image.keeps_images
    ):
        message = "its condition changes the prompt or the batch, which lm-eval makes itself"
    elif condition.image.needs_places:
        message = "its condition leaves out documents without regions, and lm-eval asks them all"
    if message:
        raise VlmbenchError(located.problem("metadata.vlmbench.condition", message))


def _refuse_doubles(chosen: Sequence[ConfigurableTask | Group]) -> None:
    names = [
        task.task_name
        for item in chosen
        for task in (item.get_all_tasks() if hasattr(item, "get_all_tasks") else [item])
    ]
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        message = f"named twice: {', '.join(doubles)}"
        remedy = "Name a task by itself or with its group, not both."
        raise VlmbenchError(Problem(field="--tasks", message=message, remedy=remedy))


def _theirs(terms: Sequence[str], include_paths: tuple[Path, ...]) -> tuple[TaskManager, list[str]]:
    """Return lm-eval's names for the terms, with what knows them.

    All that lm-eval ships takes seconds to read, so it is read only for names that included
    folders do not hold as a task.
    """
    manager = _manager(include_paths, defaults=False)
    if all(term in manager.all_subtasks for term in terms):
        return manager, list(terms)
    manager = _manager(include_paths, defaults=True)
    problems: list[Problem] = []
    names: list[str] = []
    for term in terms:
        found = [term] if Path(term).is_file() else manager.match_tasks([term])
        if not found:
            problems.append(_unknown(term, manager.all_tasks))
        names += found
    if problems:
        raise VlmbenchError(problems)
    return manager, names


@lru_cache(maxsize=4)
def _manager(include_paths: tuple[Path, ...], *, defaults: bool) -> Any:
    from lm_eval.tasks import TaskManager

    folders = [str(path) for path in include_paths if path.is_dir()]
    return TaskManager(include_path=folders or None, include_defaults=defaults)


def _unknown(term: str, names: Sequence[str]) -> Problem:
    guesses = ", ".join(f"`{name}`" for name in nearest(term, tuple(names), most=3))
    near = f"Did you mean {guesses}? " if guesses else ""
    return Problem(
        field="--tasks",
        message=f"neither vlmbench nor lm-eval has a task, group or tag `{term}`",
        remedy=f"{near}`vlmbench ls tasks` and `lm-eval ls tasks` list them all.",
    )
