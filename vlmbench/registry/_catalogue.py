"""All tasks, groups, models and studies on the search path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from vlmbench.registry._checkpoint_files import is_checkpoint
from vlmbench.registry._derive import derive
from vlmbench.registry._lm_eval import lm_eval_tasks
from vlmbench.registry._paths import folder_named, search_paths, yaml_files
from vlmbench.registry._plugins import Plugin, backends
from vlmbench.registry._registry import Registry
from vlmbench.registry._select import Named, SpecT, same_name, select
from vlmbench.spec import (
    GroupSpec,
    Located,
    ModelSpec,
    StudySpec,
    TaskSpec,
    did_you_mean,
    digest,
    load_file,
    load_files,
)
from vlmbench.types import Problem, VlmbenchError

Names = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Everything that YAML on the search path declares.

    Attributes:
        tags: Tag -> names of the tasks that carry it.
        model_tags: Tag -> names of the models that carry it.
        members: Group -> names of its tasks, those of groups within it too.
        paths: Folders and files that were searched.
        problems: Everything that is wrong in any file. Nothing can be selected while there is any,
            because a glob or a tag would quietly leave out what did not load.
    """

    tasks: Registry[Located[TaskSpec]]
    groups: Registry[Located[GroupSpec]]
    models: Registry[Located[ModelSpec]]
    studies: Registry[Located[StudySpec]]
    tags: Names
    model_tags: Names
    members: Names
    backends: Registry[Plugin]
    paths: tuple[Path, ...]
    problems: tuple[Problem, ...] = field(repr=False)

    def check(self) -> None:
        """Raise VlmbenchError with every problem found, if any."""
        if self.problems:
            raise VlmbenchError(self.problems)

    def select_tasks(self, selector: str) -> list[Located[TaskSpec]]:
        """Return the tasks that a comma-separated list means, in its order, each once.

        A term is a task, a group, a tag, a glob over task names, a path to a YAML file, or
        `lm_eval:` and the name of a task, group or tag with images that ships with lm-eval.

        Raises:
            VlmbenchError: Terms that match nothing, with the nearest names; or `problems`.
        """
        self.check()
        bundles = {**self.tags, **self.members}
        return select(selector, self.tasks, bundles, self._tasks_in, lm_eval_tasks)

    def select_models(self, selector: str, *, derived: bool = False) -> list[Located[ModelSpec]]:
        """Return the models that a comma-separated list means, in its order, each once.

        A term is a model, a tag, a glob, a path to a YAML file, a folder with a checkpoint, or
        a hub id. The last two mean the model whose YAML names that checkpoint; where none does,
        or if `derived`, a spec is derived from their own config files.
        """
        self.check()
        load = partial(self._one_in, registry=self.models, kind=ModelSpec)
        checkpoint = _derived if derived else self._of_checkpoint
        return select(selector, self.models, self.model_tags, load, checkpoint)

    def _of_checkpoint(self, term: str) -> Named[ModelSpec]:
        """Return the model whose YAML names a checkpoint, or else what its files describe."""
        named = [(name, model) for name, model in self.models.items() if loads(model, term)]
        if len(named) > 1:
            names = ", ".join(f"`{name}`" for name, _ in named)
            message = f"{term} is the checkpoint of several models: {names}"
            raise VlmbenchError(Problem(message=message, remedy="Name one, or add --derive."))
        return named or _derived(term)

    def select_studies(self, selector: str) -> list[Located[StudySpec]]:
        """Return the studies that a comma-separated list of names, tags, globs, paths means."""
        self.check()
        load = partial(self._one_in, registry=self.studies, kind=StudySpec)
        chosen = select(selector, self.studies, _tags(self.studies), load)
        return [self._whole(study) for study in chosen]

    def _whole(self, study: Located[StudySpec]) -> Located[StudySpec]:
        """Return a study with the cells of the studies that it names before its own."""
        if not study.spec.studies:
            return study
        problems = list(_studies_within([study], self.studies))  # a file off the search path
        if problems:
            raise VlmbenchError(problems)
        listed = (self.studies[name].spec.cells for name in study.spec.studies)
        cells = [*(cell for cells in listed for cell in cells), *study.spec.cells]
        whole = study.spec.model_copy(update={"cells": tuple(cells)})
        return replace(study, spec=whole, digest=digest(whole))

    def _tasks_in(self, path: Path) -> Named[TaskSpec]:
        """Return the task in a file, or the tasks of the group in it."""
        located = load_file(path)
        if not isinstance(located.spec, GroupSpec):
            return self._one_in(path, registry=self.tasks, kind=TaskSpec)
        known = {**self.tags, **self.members}
        names = [(m,) if m in self.tasks else known.get(m) for m in located.spec.task]
        problems = [
            _unknown_member(located, position, (*self.tasks, *known))
            for position, found in enumerate(names)
            if found is None
        ]
        if problems:
            raise VlmbenchError(problems)
        return [(name, self.tasks[name]) for found in names for name in found or ()]

    def _one_in(
        self, path: Path, *, registry: Registry[Located[SpecT]], kind: type[SpecT]
    ) -> Named[SpecT]:
        """Return the spec in a file, which does not have to be on the search path."""
        loaded = load_file(path)
        spec = loaded.spec
        if not isinstance(spec, kind):
            message = f"does not contain a {registry.what}"
            raise VlmbenchError(loaded.problem((), message, f"Give the YAML of a {registry.what}."))
        located = Located(
            spec=spec, path=loaded.path, digest=loaded.digest, document=loaded.document
        )
        name = str(getattr(spec, registry.what))
        problems = list(_references([loaded], self.tasks, self.backends))
        if name in registry and registry[name].path.resolve() != loaded.path.resolve():
            problems.append(same_name(registry.what, name, registry[name], located))
        if problems:
            raise VlmbenchError(problems)
        return [(name, located)]


def catalogue(include_paths: Sequence[Path] = ()) -> Catalogue:
    """Read all YAML that came with vlmbench, in `VLMBENCH_PATH`, `include_paths` and packages.

    Raises:
        VlmbenchError: A folder that was asked for does not exist. What is wrong inside files
            is collected in `problems`.
    """
    paths = search_paths(include_paths)
    loaded = load_files(yaml_files(paths))
    tasks = _registry("task", loaded.tasks)
    groups = _registry("group", loaded.groups)
    models = _registry("model", loaded.models)
    studies = _registry("study", loaded.studies)
    known_backends = backends()
    tags = _tags(tasks)
    problems = list(loaded.problems)
    for registry in (tasks, groups, models, studies):
        problems.extend(registry.problems)
    problems.extend(_shared_names(tasks, groups, tags))
    problems.extend(_references(loaded.specs, tasks, known_backends))
    problems.extend(_studies_within(studies.values(), studies))
    members = _members(tasks, groups, tags, problems)
    return Catalogue(
        tasks=tasks,
        groups=groups,
        models=models,
        studies=studies,
        tags=tags,
        model_tags=_tags(models),
        members=members,
        backends=known_backends,
        paths=tuple(paths),
        problems=tuple(problems),
    )


def loads(model: Located[ModelSpec], term: str) -> bool:
    """Tell whether a model's YAML names, as what it loads, a hub id or folder that was given."""
    checkpoint = model.spec.checkpoint
    if checkpoint is None or not model.spec.has_weights or model.spec.server is not None:
        return False
    given, own = folder_named(term), folder_named(checkpoint, model.folder)
    return given == own if given or own else term == checkpoint


def _derived(term: str) -> Named[ModelSpec]:
    """Return the model that a checkpoint's own files describe; nothing for anything else."""
    if not is_checkpoint(term):
        return []
    model = derive(term).model
    return [(model.spec.model, model)]


def _registry(what: str, specs: Iterable[Located[SpecT]]) -> Registry[Located[SpecT]]:
    named = ((str(getattr(located.spec, what)), located) for located in specs)
    return Registry(what, named, clash=partial(same_name, what))


def _tags(registry: Mapping[str, Located[TaskSpec | ModelSpec | StudySpec]]) -> Names:
    """Return tag -> names that carry it, in the order of the registry."""
    tags: dict[str, list[str]] = {}
    for name, located in registry.items():
        for tag in dict.fromkeys(located.spec.tags):
            tags.setdefault(tag, []).append(name)
    return {tag: tuple(names) for tag, names in tags.items()}


def _shared_names(
    tasks: Registry[Located[TaskSpec]], groups: Registry[Located[GroupSpec]], tags: Names
) -> Iterator[Problem]:
    """Yield names that a selector could read in two ways."""
    for name, located in groups.items():
        if name in tasks:
            yield same_name("group", name, tasks[name], located, other="task")
    for tag, carriers in tags.items():
        for other, registry in (("task", tasks), ("group", groups)):
            if tag in registry:
                message = f"the tag `{tag}` is also the name of a {other}"
                yield tasks[carriers[0]].problem(("tag",), message, "Rename one of them.")


def _references(
    specs: Iterable[Located[TaskSpec | GroupSpec | ModelSpec | StudySpec]],
    tasks: Registry[Located[TaskSpec]],
    known_backends: Registry[Plugin],
) -> Iterator[Problem]:
    """Yield names of backends and tasks that do not exist."""
    for located in specs:
        match located.spec:
            case ModelSpec() as model:
                if model.has_weights and model.backend not in known_backends:
                    unknown = known_backends.unknown(model.backend)
                    yield located.problem(("backend",), unknown.message, unknown.remedy)
                for position, scores in enumerate(model.recorded):
                    if scores.task not in tasks:
                        unknown = tasks.unknown(scores.task)
                        keys = ("recorded", position, "task")
                        yield located.problem(keys, unknown.message, unknown.remedy)
            case _:
                pass


def _studies_within(
    chosen: Iterable[Located[StudySpec]], studies: Registry[Located[StudySpec]]
) -> Iterator[Problem]:
    """Yield studies that others name and that do not exist, or are made of studies themselves."""
    for study in chosen:
        for position, name in enumerate(study.spec.studies):
            keys = ("studies", position)
            if name not in studies:
                unknown = studies.unknown(name)
                yield study.problem(keys, unknown.message, unknown.remedy)
            elif studies[name].spec.studies:
                message = f"the study `{name}` is itself made of studies"
                yield study.problem(keys, message, "Name those instead.")


def _members(
    tasks: Registry[Located[TaskSpec]],
    groups: Registry[Located[GroupSpec]],
    tags: Names,
    problems: list[Problem],
) -> Names:
    """Return group -> its tasks; notes members that do not exist and groups within themselves."""

    def resolve(name: str, above: tuple[str, ...]) -> Iterator[str]:
        located = groups[name]
        for position, member in enumerate(located.spec.task):
            if member in tasks:
                yield member
            elif member in (*above, name):
                message = f"the group `{name}` contains itself, by way of `{member}`"
                found.append(located.problem(("task", position), message))
            elif member in groups:
                yield from resolve(member, (*above, name))
            elif member in tags:
                yield from tags[member]
            else:
                found.append(_unknown_member(located, position, (*tasks, *groups, *tags)))

    found: list[Problem] = []
    members = {name: tuple(dict.fromkeys(resolve(name, ()))) for name in groups}
    problems.extend(dict.fromkeys(found))
    return members


def _unknown_member(
    located: Located[GroupSpec | TaskSpec | ModelSpec | StudySpec],
    position: int,
    names: Iterable[str],
) -> Problem:
    assert isinstance(located.spec, GroupSpec)
    member = located.spec.task[position]
    message = f"there is no task, group or tag `{member}`"
    return located.problem(("task", position), message, did_you_mean(member, names, what="Known"))
