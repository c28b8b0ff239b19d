"""From YAML files to checked specs, with every mistake of every file in one go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast

from pydantic import ValidationError

from vlmbench.spec._base import Spec
from vlmbench.spec._checks import Flaw, check_model, check_study, check_task
from vlmbench.spec._lm_eval_file import check_lm_eval_file
from vlmbench.spec._marker_checks import check_markers
from vlmbench.spec._model import ModelSpec
from vlmbench.spec._nearest import nearest
from vlmbench.spec._nodes import Keys, dotted, shown
from vlmbench.spec._study import StudySpec
from vlmbench.spec._task import GroupSpec, TaskSpec
from vlmbench.spec._template import unknown_columns
from vlmbench.spec._translate import translate
from vlmbench.spec._wording_checks import check_wordings
from vlmbench.spec._wordings import wordings
from vlmbench.spec._yaml import YamlDocument, read_data, read_yaml
from vlmbench.types import Problem, VlmbenchError

Kind = Literal["task", "group", "model", "study"]
SpecT_co = TypeVar("SpecT_co", bound=Spec, covariant=True)
AnySpec = TaskSpec | GroupSpec | ModelSpec | StudySpec

MODELS: dict[Kind, type[AnySpec]] = {
    "group": GroupSpec,
    "model": ModelSpec,
    "study": StudySpec,
    "task": TaskSpec,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Located(Generic[SpecT_co]):
    """A spec and where it came from.

    Attributes:
        spec: The checked spec, includes resolved.
        path: Its YAML file.
        digest: Hex SHA-256 of the resolved spec, whatever its file is called or looks like.
        document: The YAML with the place of every value, for errors found later.
    """

    spec: SpecT_co
    path: Path
    digest: str
    document: YamlDocument = field(repr=False, compare=False)

    @property
    def raw(self) -> Mapping[str, Any]:
        """The file's keys and values after merging, before defaults."""
        return self.document.data

    @property
    def folder(self) -> Path:
        """Where relative paths in the spec start."""
        return self.path.parent

    def problem(self, keys: Keys | str, message: str, remedy: str = "") -> Problem:
        """Return a Problem that points at `keys` (a tuple, or dotted) in the file."""
        return _problem(self.document, Flaw(_split(keys), message, remedy))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a number of files hold.

    Attributes:
        tasks: In the order of the files, as are the others.
        fragments: Files that are only there to be included.
        problems: Everything that is wrong in any of the files.
    """

    tasks: tuple[Located[TaskSpec], ...]
    groups: tuple[Located[GroupSpec], ...]
    models: tuple[Located[ModelSpec], ...]
    studies: tuple[Located[StudySpec], ...]
    fragments: tuple[Path, ...]
    problems: tuple[Problem, ...]

    @property
    def specs(self) -> tuple[Located[AnySpec], ...]:
        """Everything that loaded."""
        return (*self.tasks, *self.groups, *self.models, *self.studies)


def load_file(path: str | Path) -> Located[AnySpec]:
    """Read one spec.

    Raises:
        VlmbenchError: With every problem of the file, or that it does not contain a spec.
    """
    document = read_yaml(path)
    kind = _kind_of(document)
    if kind is None:
        raise VlmbenchError(_no_kind(document))
    return _load(document, kind)


def load_data(data: Mapping[str, Any], path: Path) -> Located[AnySpec]:
    """Read one spec from keys and values; `path` is the file that they stand in for.

    Raises:
        VlmbenchError: With everything that is wrong with them, or that they are not a spec.
    """
    document = read_data(data, path)
    kind = _kind_of(document)
    if kind is None:
        raise VlmbenchError(_no_kind(document))
    return _load(document, kind)


def load_files(paths: Iterable[str | Path]) -> Loaded:
    """Read many files and collect all their problems instead of raising.

    Files without a kind are fragments if their name starts with `_`, another of the files
    includes them, or they have no key of ours at all.
    """
    specs: list[Located[AnySpec]] = []
    kindless: list[YamlDocument] = []
    problems: list[Problem] = []
    included: set[Path] = set()
    for path in paths:
        try:
            document = read_yaml(path)
            included.update(inner.resolve() for inner in document.included)
            kind = _kind_of(document)
            if kind is None:
                kindless.append(document)
            else:
                specs.append(_load(document, kind))
        except VlmbenchError as error:
            problems.extend(error.problems)
    for document in kindless:
        if not _is_fragment(document, included):
            problems.append(_no_kind(document))
    return Loaded(
        tasks=tuple(_only(specs, TaskSpec)),
        groups=tuple(_only(specs, GroupSpec)),
        models=tuple(_only(specs, ModelSpec)),
        studies=tuple(_only(specs, StudySpec)),
        fragments=tuple(d.path for d in kindless if _is_fragment(d, included)),
        problems=tuple(dict.fromkeys(problems)),  # an included file's mistake counts once
    )


def check_columns(task: Located[TaskSpec], columns: Iterable[str]) -> list[Problem]:
    """Return a problem for every column that a task names and its data does not have.

    Columns that only a probe reads are left out, since not every split needs them.
    """
    found = unknown_columns(task.spec, tuple(columns))
    return [task.problem(keys, message, remedy) for keys, message, remedy in found]


def _load(document: YamlDocument, kind: Kind) -> Located[AnySpec]:
    model = MODELS[kind]
    try:
        spec = model.model_validate(document.data)
    except ValidationError as error:
        raise VlmbenchError(translate(error, model, document)) from None
    problems = [_problem(document, flaw) for flaw in _flaws(spec)]
    if problems:
        raise VlmbenchError(problems)
    return Located(spec=spec, path=document.path, digest=digest(spec), document=document)


def digest(spec: Spec) -> str:
    """Return the hex SHA-256 of a spec's canonical JSON."""
    return _digest(spec.model_dump(mode="json", exclude={"include"}))


def reading_digest(task: TaskSpec) -> str:
    """Return the hex SHA-256 of how a task's answers are read.

    Together with the documents, which hold the rendered questions, this decides a task's numbers;
    names, tags, sources and where the data comes from do not.
    """
    top = {
        "description", "output_type", "target_delimiter", "generation_kwargs", "filter_list",
        "metric_list",
    }  # fmt: skip
    bench = task.bench.model_dump(mode="json", include={"probe", "hints", "lm_eval"})
    condition = task.bench.condition.label
    rule = [task.answer_rule.name] if task.output_type == "generate_until" else []
    return _digest([task.model_dump(mode="json", include=top), bench, condition, *rule])


def wordings_digest(task: TaskSpec) -> str | None:
    """Return the hex SHA-256 of a task's other wordings; None if it has none.

    It decides what `paraphrase-1`, `letters` and `texts` are, and nothing else.
    """
    declared = [(keys, other.doc_to_text, other.doc_to_choice) for keys, other in wordings(task)]
    return _digest(declared) if declared else None


def _digest(values: object) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _flaws(spec: AnySpec) -> Iterator[Flaw]:
    match spec:
        case TaskSpec():
            checks = (check_task, check_wordings, check_markers, check_lm_eval_file)
            return chain.from_iterable(check(spec) for check in checks)
        case ModelSpec():
            return check_model(spec)
        case StudySpec():
            return check_study(spec)
        case GroupSpec():
            return iter(())


def _kind_of(document: YamlDocument) -> Kind | None:
    """Return what a file contains, by its identifying key; `task` next to `group` lists members."""
    kinds: list[Kind] = [kind for kind in MODELS if kind in document.data]
    if kinds == ["group", "task"]:
        return "group"
    if len(kinds) > 1:
        message = f"`{kinds[0]}` and `{kinds[1]}` in one file: it can hold only one spec"
        raise VlmbenchError(_problem(document, Flaw((kinds[1],), message), of="key"))
    return kinds[0] if kinds else None


def _no_kind(document: YamlDocument) -> Problem:
    message = "has none of the keys task, group, model and study"
    for key in document.data:
        guess = nearest(key, MODELS)
        if guess:
            flaw = Flaw((key,), message, f"Did you mean `{guess[0]}`?")
            return _problem(document, flaw, of="key")
    remedy = "Give the spec a name. If other files include it, start its file name with `_`."
    return Problem(file=shown(document.path), line=1, column=1, message=message, remedy=remedy)


def _is_fragment(document: YamlDocument, included: set[Path]) -> bool:
    named = document.path.name.startswith("_") or document.path.resolve() in included
    ours = {key for model in MODELS.values() for key in model.model_fields}
    misspelt = any(nearest(key, MODELS) for key in document.data)
    return named or not (misspelt or ours & set(document.data))


def _problem(
    document: YamlDocument, flaw: Flaw, *, of: Literal["key", "value"] = "value"
) -> Problem:
    """Place a flaw in its file."""
    mark = document.mark(flaw.keys, of=of)
    line, column = mark.line, mark.column
    message = flaw.message
    if flaw.template_line is not None:
        block = document.style(flaw.keys)
        if block == "|":  # the text starts in the line below the bar
            line, column = line + flaw.template_line, 1
        elif flaw.template_line > 1:
            message = f"{message} (line {flaw.template_line} of the template)"
    return Problem(
        file=mark.file,
        line=line,
        column=column,
        field=dotted(flaw.keys),
        message=message,
        remedy=flaw.remedy,
    )


def _split(keys: Keys | str) -> Keys:
    if isinstance(keys, tuple):
        return keys
    return tuple(int(key) if key.isdigit() else key for key in keys.split("."))


def _only(specs: list[Located[AnySpec]], model: type[SpecT_co]) -> Iterator[Located[SpecT_co]]:
    """Yield the specs of one kind."""
    for located in specs:
        if isinstance(located.spec, model):
            yield cast("Located[SpecT_co]", located)
