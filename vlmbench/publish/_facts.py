"""What the runs do not know and their publisher says; nothing of it is guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vlmbench.store import Run
from vlmbench.types import Problem, VlmbenchError

RELATIONSHIPS: Final = ("first_party", "third_party", "collaborative", "other")
"""How who ran an evaluation may be related to who made the model, in Every Eval Ever's words."""

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a publisher says.

    Attributes:
        organization: Who ran the evaluation.
        relationship: How they are related to who made the models; one of `RELATIONSHIPS`.
        dataset: Hub id of the data set that the tasks belong to.
        repositories: Hub ids of models that were loaded from folders or asked of a server.
    """

    organization: str
    relationship: str
    dataset: str
    repositories: Mapping[str, str]

    def __post_init__(self) -> None:
        if self.relationship not in RELATIONSHIPS:
            message = f"{self.relationship!r} is no relationship"
            remedy = f"Give one of {', '.join(RELATIONSHIPS)}."
            raise VlmbenchError(Problem(field="--relationship", message=message, remedy=remedy))
        for option, value in (
            ("--dataset", self.dataset),
            *(("--repository", value) for value in self.repositories.values()),
        ):
            if value and not _REPOSITORY.fullmatch(value):
                message = f"{value!r} is not a repository"
                problem = Problem(field=option, message=message, remedy="Give ORGANIZATION/NAME.")
                raise VlmbenchError(problem)

    def repository(self, run: Run, model: str) -> str:
        """Return a model's Hub id: the one that is given, or the one it was loaded from.

        Raises:
            VlmbenchError: If it was loaded from a folder and none is given.
        """
        found = self.repositories.get(model) or _loaded_from(run, model)
        if found and _REPOSITORY.fullmatch(found):
            return found
        message = f"model {model!r} was not loaded from the Hub, so its repository is not known"
        remedy = f"Say which it is: --repository {model}=ORGANIZATION/NAME."
        raise VlmbenchError(Problem(field="--repository", message=message, remedy=remedy))


def _loaded_from(run: Run, model: str) -> str:
    """Return the Hub id in a model's records; empty where they name files."""
    for task in run.manifest.tasks:
        for record in run.records(model, task):
            match record.require().basis.checkpoint:
                case ((str(name), str() | None), *_):
                    return name
                case _:
                    return ""
    return ""


def models_of(run: Run) -> tuple[str, ...]:
    """Return a run's models, without cheap rules and numbers that were measured elsewhere."""
    return tuple(
        name
        for name, record in run.manifest.models.items()
        if not record.recorded and record.rule is None
    )
