"""What a task asks of a data row: Jinja, or the name of a column, as lm-eval reads them.

`doc_*` follow ConfigurableTask in lm_eval/api/task.py (0.4.13), so that prompts agree byte for
byte. Deviation: where lm-eval would pass on something that is not a prompt, a list of choices or
an index, these functions say so.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from vlmbench.spec._nearest import did_you_mean
from vlmbench.spec._nodes import Keys
from vlmbench.spec._task import BoxColumn, PointColumn, TaskSpec
from vlmbench.templates import TemplateFaultError, rendered, undeclared
from vlmbench.types import Problem, VlmbenchError

Row = Mapping[str, Any]

FREE_TEXT = ("right", "wrong")
"""The two choices that represent free text: its answers earn credit between them."""


def render(template: str, row: Row) -> str:
    """Return a template filled in from a row.

    Raises:
        VlmbenchError: A name is not in the row, or the template fails on its values or reaches a
            limit of `vlmbench.templates`.
    """
    try:
        return rendered(template, row)
    except TemplateFaultError as error:
        message = f"the template fails: {error}"
        raise VlmbenchError(
            Problem(message=message, remedy=f"Columns: {', '.join(row)}.")
        ) from error


def templates(spec: TaskSpec) -> dict[Keys, str]:
    """Return the fields of a task that may hold Jinja or the name of a column, by their keys."""
    bench: Keys = ("metadata", "vlmbench")
    fields: dict[Keys, str | tuple[str, ...] | int | None] = {
        ("doc_to_text",): spec.doc_to_text,
        ("doc_to_choice",): spec.doc_to_choice,
        ("doc_to_target",): spec.doc_to_target,
        ("description",): spec.description,
    }
    for place, text in enumerate(spec.bench.paraphrases):
        fields[*bench, "paraphrases", place] = text
    for name in ("letters", "texts"):
        wording = getattr(spec.bench, name)
        for field, text in () if wording is None else wording:
            fields[*bench, name, field] = text
    return {keys: text for keys, text in fields.items() if isinstance(text, str)}


def unknown_columns(spec: TaskSpec, columns: Collection[str]) -> list[tuple[Keys, str, str]]:
    """Return (keys, message, remedy) for every name that a task uses and its data lacks."""
    wanted: list[tuple[Keys, str]] = []
    may_be_text = {("description",)}
    if not spec.is_free_text:
        may_be_text.add(("doc_to_target",))
    for keys, template in templates(spec).items():
        if template in columns:
            continue
        wanted += [(keys, name) for name in sorted(undeclared(template))]
        if template.isidentifier() and keys not in may_be_text:
            # As text a lone word is not a question, a list or an answer: a column was meant.
            wanted.append((keys, template))
    wanted += _named_columns(spec)
    return [
        (keys, f"the data has no column `{name}`", did_you_mean(name, columns, what="Columns"))
        for keys, name in wanted
        if name not in columns
    ]


def _named_columns(spec: TaskSpec) -> Iterator[tuple[Keys, str]]:
    """Yield every column that a task names outside its templates, for all splits."""
    bench: Keys = ("metadata", "vlmbench")
    images = spec.doc_to_image
    if isinstance(images, str):
        yield ("doc_to_image",), images
    else:
        yield from ((("doc_to_image", i), name) for i, name in enumerate(images))
    for i, name in enumerate(spec.bench.encoder_images or ()):
        yield (*bench, "encoder_images", i), name
    if spec.bench.id_column is not None:
        yield (*bench, "id_column"), spec.bench.id_column
    if spec.bench.cluster_by is not None:
        yield (*bench, "cluster_by"), spec.bench.cluster_by
    if spec.bench.regions is not None:
        for part in ("reference", "choices"):
            source = getattr(spec.bench.regions, part)
            if isinstance(source, PointColumn | BoxColumn):
                yield (*bench, "regions", part, "column"), source.column


def doc_text(spec: TaskSpec, row: Row) -> str:
    """Return the question as the model reads it: a column, or Jinja over the row."""
    if spec.doc_to_text in row:
        return _text(row[spec.doc_to_text], "doc_to_text")
    text = _render(spec.doc_to_text, row, "doc_to_text")
    if text.isdigit():
        raise _error(
            "doc_to_text", f"the prompt is only {text!r}, which lm-eval takes for an index"
        )
    return text


def doc_description(spec: TaskSpec, row: Row) -> str:
    """Return what comes before the question."""
    return _column_or_template(spec.description, row, "description")


def doc_choices(spec: TaskSpec, row: Row) -> tuple[str, ...]:
    """Return the choices: a list as it is, a column, or Jinja that renders a Python list."""
    source = spec.doc_to_choice
    if source is None:
        return FREE_TEXT
    if not isinstance(source, str):
        return source
    if source in row:
        return _choices(row[source], f"column `{source}` holds")
    text = _render(source, row, "doc_to_choice")
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        message = f"{text[:80]!r} is neither a column nor a Python list such as ['A', 'B']"
        raise _error("doc_to_choice", message) from error
    return _choices(value, "the template renders")


def doc_target(spec: TaskSpec, row: Row) -> int:
    """Return the index of the right choice, from 0.

    As in lm-eval a column or template gives either the index, or the text of a choice. For free
    text the answer must be there, and the index is that of `FREE_TEXT`'s first.
    """
    if spec.is_free_text:
        doc_answers(spec, row)
        return 0
    choices = doc_choices(spec, row)
    value = spec.doc_to_target
    if isinstance(value, str):
        if value in row:
            value = row[value]
        else:
            rendered = _render(value, row, "doc_to_target")
            value = int(rendered) if _is_index(rendered) else rendered
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(choices):
        return value
    if isinstance(value, str) and value in choices:
        return choices.index(value)
    message = f"the right answer is {value!r}, which is neither an index below {len(choices)} nor "
    raise _error("doc_to_target", message + f"one of the choices {list(choices)}")


def doc_answers(spec: TaskSpec, row: Row) -> Any:
    """Return what lm-eval compares free text with: one answer, or a list of right ones."""
    source = spec.doc_to_target
    if not isinstance(source, str):
        return source
    value = row[source] if source in row else _render(source, row, "doc_to_target")
    listed = value if isinstance(value, list) else [value]
    if not listed or not all(_is_answer(one) for one in listed):
        raise _error("doc_to_target", f"the right answer is {value!r}, which is not text")
    return value


def _is_answer(value: Any) -> bool:
    return isinstance(value, str | int | float) and value != "" and not _is_no_number(value)


def _is_no_number(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _is_index(text: str) -> bool:
    """Tell whether lm-eval would read a rendered target as a number (`007` fails there)."""
    return text.isascii() and text.isdigit() and (text == "0" or not text.startswith("0"))


def _column_or_template(source: str, row: Row, field: str) -> str:
    return _text(row[source], field) if source in row else _render(source, row, field)


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise _error(field, f"the column holds {value!r}, not text")
    return value


def _choices(value: Any, where: str) -> tuple[str, ...]:
    """Return checked choices."""
    if not isinstance(value, list | tuple) or not value:
        raise _error("doc_to_choice", f"{where} {value!r}, not a list of choices")
    if not all(isinstance(choice, str) for choice in value):
        raise _error("doc_to_choice", f"{where} {value!r}, whose items are not all text")
    if len(set(value)) < len(value):
        raise _error("doc_to_choice", f"{where} {value!r}, which contains a choice twice")
    return tuple(value)


def _render(template: str, row: Row, field: str) -> str:
    try:
        return render(template, row)
    except VlmbenchError as error:
        problem = error.problems[0]
        raise _error(field, problem.message, problem.remedy) from error


def _error(field: str, message: str, remedy: str = "") -> VlmbenchError:
    return VlmbenchError(Problem(field=field, message=message, remedy=remedy))
