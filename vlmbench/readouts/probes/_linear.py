"""The linear probe: multinomial logistic regression on pooled features."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from vlmbench.readouts.probes._features import ImageFeatures, pooled
from vlmbench.readouts.probes._head import Example, Fitting, check_regions, examples
from vlmbench.spec import LinearProbe
from vlmbench.types import Document, Problem, Scale, VlmbenchError

C_GRID = (0.001, 0.01, 0.1, 1.0)
_MAX_ITER = 1000
_ONLY_GROUP = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Where a document's row says what is asked for."""

    label: str
    choices: str
    group: str | None

    def label_of(self, document: Document) -> str:
        return str(document.row[self.label])

    def choices_of(self, document: Document) -> list[str]:
        return [str(name) for name in document.row[self.choices]]

    def group_of(self, document: Document) -> str:
        return _ONLY_GROUP if self.group is None else str(document.row[self.group])

    def problems(self, document: Document) -> list[Problem]:
        """Return every column the row lacks, or that does not fit the choices."""
        wanted = [self.label, self.choices, *([self.group] if self.group else [])]
        found = [
            Problem(field=name, message=f"document {document.doc_id}: no such column in its row")
            for name in wanted
            if name not in document.row
        ]
        if self.choices in document.row and len(self.choices_of(document)) != len(document.choices):
            count = len(self.choices_of(document))
            message = f"{count} class names for {len(document.choices)} choices"
            found.append(
                Problem(field=self.choices, message=f"document {document.doc_id}: {message}")
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFit:
    """One group's classifier and how it was chosen.

    Attributes:
        pipeline: Standardisation and logistic regression.
        c: Inverse strength of the L2 penalty.
        validation_accuracy: For every C tried.
        n_train: Documents it was fitted on.
    """

    pipeline: Pipeline = field(repr=False)
    c: float
    validation_accuracy: Mapping[float, float]
    n_train: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearHead:
    """A linear probe before it is fitted: it has no `score`.

    Attributes:
        label_column: Column of `Document.row` with the class of the document's image.
        choices_column: Column with the class of every choice.
        group_column: Column that says which classifier is asked; None: there is only one.
    """

    label_column: str
    choices_column: str
    group_column: str | None = None

    def fit(self, train: Sequence[Example], validation: Sequence[Example]) -> FittedLinearHead:
        """Fit one classifier per group on `train`, its C chosen by accuracy on `validation`.

        C is tried in ascending order and the first of several equally good wins: the most
        regularised. Nothing is refitted on both splits.

        Raises:
            VlmbenchError: For missing columns, an empty split, a group with fewer than two
                classes in training or without validation documents.
        """
        columns = _Columns(
            label=self.label_column, choices=self.choices_column, group=self.group_column
        )
        problems = [p for doc, _ in (*train, *validation) for p in columns.problems(doc)]
        problems += [
            Problem(message=f"the {name} split is empty")
            for name, split in (("training", train), ("validation", validation))
            if not split
        ]
        if problems:
            raise VlmbenchError(problems)
        seen, judged = _by_group(train, columns), _by_group(validation, columns)
        problems = _group_problems(seen, judged)
        if problems:
            raise VlmbenchError(problems)
        fits = {group: _fit_group(*seen[group], *judged[group]) for group in sorted(seen)}
        return FittedLinearHead(columns=columns, groups=fits)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedLinearHead:
    """Fitted classifiers, which can score.

    Attributes:
        columns: Where a row says what is asked.
        groups: One classifier per group.
    """

    scale: ClassVar[Scale] = "logprob"
    columns: _Columns
    groups: Mapping[str, GroupFit]

    def score(
        self, document: Document, features: Sequence[ImageFeatures]
    ) -> Float[np.ndarray, " choices"]:
        """Return the log-probability of each choice's class in nats, float64.

        Probabilities are over all classes of the group, so those of the choices need not sum
        to 1.

        Raises:
            VlmbenchError: If a column is missing, or a group or class was not in training.
        """
        check_regions(LinearProbe.needs, document, features)
        problems = self.columns.problems(document)
        if not problems:
            problems = self._unseen(document)
        if problems:
            raise VlmbenchError(problems)
        pipeline = self.groups[self.columns.group_of(document)].pipeline
        logs = pipeline.predict_log_proba(_vector(document, features)[None])[0]
        place = {name: i for i, name in enumerate(pipeline.classes_)}
        names = self.columns.choices_of(document)
        return np.asarray([logs[place[name]] for name in names], dtype=np.float64)

    def _unseen(self, document: Document) -> list[Problem]:
        group = self.columns.group_of(document)
        if group not in self.groups:
            message = f"document {document.doc_id}: no training document has group {group!r}"
            return [Problem(field=self.columns.group or "", message=message)]
        known = set(self.groups[group].pipeline.classes_)
        return [
            Problem(
                field=self.columns.choices,
                message=f"document {document.doc_id}: class {name!r} is not in the training split",
                remedy=f"classes there are {', '.join(sorted(known))}",
            )
            for name in self.columns.choices_of(document)
            if name not in known
        ]

    def record(self) -> dict[str, Any]:
        """Return how the classifiers came about, as JSON values."""
        return {
            group: {
                "c": fit.c,
                "chosen_by": "greatest validation accuracy",
                "validation_accuracy": {str(c): v for c, v in fit.validation_accuracy.items()},
                "n_train": fit.n_train,
                "classes": [str(name) for name in fit.pipeline.classes_],
            }
            for group, fit in self.groups.items()
        }


def linear_head(probe: LinearProbe, fitting: Fitting) -> FittedLinearHead:
    """Return the probe's classifiers, fitted on the training split and chosen on validation."""
    head = LinearHead(
        label_column=probe.label_column,
        choices_column=probe.choices_column,
        group_column=probe.group_column,
    )
    train, validation = (
        list(examples(fitting.split(role), fitting.tap)) for role in ("train", "validation")
    )
    return head.fit(train, validation)


Split = tuple[NDArray[np.float64], list[str]]


def _vector(document: Document, features: Sequence[ImageFeatures]) -> NDArray[np.float64]:
    """Return pooled features of the image asked about: the reference's, else the first."""
    image = 0 if document.reference is None else document.reference.image
    vector: NDArray[np.float64] = pooled(features[image]).cpu().numpy()
    return vector


def _by_group(examples: Sequence[Example], columns: _Columns) -> dict[str, Split]:
    """Return (n, dim) vectors and n class names of every group."""
    rows: dict[str, list[tuple[NDArray[np.float64], str]]] = {}
    for document, features in examples:
        row = (_vector(document, features), columns.label_of(document))
        rows.setdefault(columns.group_of(document), []).append(row)
    return {
        group: (np.stack([x for x, _ in part]), [y for _, y in part])
        for group, part in rows.items()
    }


def _group_problems(seen: dict[str, Split], judged: dict[str, Split]) -> list[Problem]:
    problems = []
    for split, groups in (("training", seen), ("validation", judged)):
        odd = sum(int((~np.isfinite(x)).any(axis=1).sum()) for x, _ in groups.values())
        if odd:
            message = f"features of {odd} {split} documents are NaN or infinite"
            remedy = "The encoder overflows: run it with `--dtype float32` or `bfloat16`."
            problems.append(Problem(message=message, remedy=remedy))
    for group, (_, labels) in sorted(seen.items()):
        name = f"group {group!r}: " if group else ""
        if len(set(labels)) < 2:
            message = f"{name}the training split has only the class {labels[0]!r}"
            problems.append(Problem(message=message, remedy="at least two are needed"))
        if group not in judged:
            problems.append(Problem(message=f"{name}the validation split has no documents"))
    return problems


def _fit_group(
    x: NDArray[np.float64],
    y: list[str],
    x_validation: NDArray[np.float64],
    y_validation: list[str],
) -> GroupFit:
    """Fit with every C and keep the one that is best on validation, the smallest on a tie."""
    accuracy: dict[float, float] = {}
    best: tuple[float, Pipeline] | None = None
    for c in C_GRID:
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=_MAX_ITER))
        # One thread: each step of the fit is short, and several would wait for one another longer
        # than they work wherever other processes use the cores.
        with warnings.catch_warnings(), threadpool_limits(1):
            # Stopped early is a stronger regularisation, not a failure; validation judges it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            pipeline.fit(x, y)
        accuracy[c] = float(pipeline.score(x_validation, y_validation))
        if best is None or accuracy[c] > accuracy[best[0]]:
            best = (c, pipeline)
    assert best is not None
    return GroupFit(pipeline=best[1], c=best[0], validation_accuracy=accuracy, n_train=len(y))
