"""Pydantic's complaints as Problems: file, line, value, choices, nearest key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from vlmbench.spec._base import Spec
from vlmbench.spec._dataset import DatasetOptions
from vlmbench.spec._nearest import did_you_mean
from vlmbench.spec._nodes import MOST_PROBLEMS, Keys, dotted
from vlmbench.spec._task import TaskSpec, VlmbenchTask
from vlmbench.spec._yaml import YamlDocument
from vlmbench.types import Problem

_DISCRIMINATORS = ("kind",)
_CODE = (
    "It runs code, which vlmbench never does: prepare the data as a file with the columns that "
    "the prompt needs."
)
# Keys of lm-eval that change what is asked or how it is scored, and what to do instead.
_LM_EVAL_ONLY = {
    **dict.fromkeys(
        ("process_docs", "process_results", "custom_dataset", "class", "unsafe_code"), _CODE
    ),
    "doc_to_audio": "Only images are shown here.",
    "gen_prefix": "A model's answer is never started for it: put the words into `doc_to_text`.",
    "use_prompt": "Write the prompt into `doc_to_text`.",
    "task_list": "Write one file per task; `include` shares what they have in common.",
}
# Arguments of `load_dataset` that are no options here.
_OF_LOAD_DATASET = {
    "path": "It is `dataset_path` of the task.",
    "name": "It is `dataset_name` of the task.",
    "split": "It is `test_split` of the task.",
    "streaming": "Leave it out: all documents are checked before a model sees the first.",
}
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "literal_error": "{expected}",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
}


@dataclass(frozen=True, slots=True)
class _Complaint:
    """One pydantic error with its place in the data rather than in the type.

    Attributes:
        keys: Where in the data.
        union: Length of the part of `keys` that leads to an undiscriminated union, or None.
        error: What pydantic said.
    """

    keys: Keys
    union: int | None
    error: ErrorDetails


def translate(error: ValidationError, model: type[Spec], document: YamlDocument) -> list[Problem]:
    """Return one Problem per mistake, in the order of the file."""
    errors = [details for details in error.errors(include_url=False) if not _follows(details)]
    complaints = [_place(details, document.data) for details in errors[:MOST_PROBLEMS]]
    problems = [_problem(group, model, document) for group in _merge_unions(complaints)]
    return sorted(problems, key=lambda p: (p.file, p.line or 0, p.column or 0))


def _follows(details: ErrorDetails) -> bool:
    """Tell whether a list is called too short only because its items were refused."""
    value, ctx = details["input"], details.get("ctx", {})
    too_short = details["type"] == "too_short" and isinstance(value, list)
    return too_short and len(value) >= ctx["min_length"]


def _place(details: ErrorDetails, data: Mapping[str, Any]) -> _Complaint:
    """Drop from pydantic's location what names union branches rather than keys."""
    node: Any = data
    keys: list[str | int] = []
    union: int | None = None
    tag_read = True  # the top level is not a union
    absent = details["type"] in ("missing", "extra_forbidden")
    loc = details["loc"]
    for position, part in enumerate(loc):
        if not tag_read and isinstance(node, dict) and part in map(node.get, _DISCRIMINATORS):
            tag_read = True
        elif _holds(node, part):
            node = node[part]
            keys.append(part)
            tag_read = False
        elif absent and position == len(loc) - 1:
            keys.append(part)
        else:
            union = len(keys)
    return _Complaint(tuple(keys), union, details)


def _value_at(data: Any, keys: Keys) -> Any:
    """Return what the file has under `keys`, or None."""
    for key in keys:
        data = data[key] if _holds(data, key) else None
    return data


def _holds(node: Any, part: str | int) -> bool:
    if isinstance(node, dict):
        return part in node
    return isinstance(node, list) and isinstance(part, int) and part < len(node)


def _merge_unions(complaints: list[_Complaint]) -> Iterator[list[_Complaint]]:
    """Group the branches of a union, of which only those that got furthest say anything."""
    groups: dict[Keys, list[_Complaint]] = {}
    for complaint in complaints:
        if complaint.union is None:
            yield [complaint]
        else:
            groups.setdefault(complaint.keys[: complaint.union], []).append(complaint)
    for group in groups.values():
        deepest = max(len(complaint.keys) for complaint in group)
        furthest = [complaint for complaint in group if len(complaint.keys) == deepest]
        for keys in dict.fromkeys(complaint.keys for complaint in furthest):
            yield [complaint for complaint in furthest if complaint.keys == keys]


def _problem(group: list[_Complaint], model: type[Spec], document: YamlDocument) -> Problem:
    """Phrase complaints about one place."""
    keys, error = group[0].keys, group[0].error
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        discriminator = str(error["ctx"]["discriminator"]).strip("'")
        short = isinstance(_value_at(document.data, keys), str)  # `blur-0.5` for its keys
        keys = keys if short else (*keys, discriminator)
    match error["type"]:
        case "extra_forbidden":
            message, remedy = _unknown_key(keys, model, document.data)
        case "missing" | "union_tag_not_found":
            message, remedy = _missing(keys, model, document.data)
        case "union_tag_invalid":
            tags = re.findall(r"'([^']*)'", str(error["ctx"]["expected_tags"]))
            message = f"there is no {keys[-1]} `{error['ctx']['tag']}`"
            remedy = did_you_mean(error["ctx"]["tag"], tags, what="Choices")
        case _:
            message, remedy = _wrong_value(group)
            remedy = remedy or _meaning(keys, model, document.data)
    of: Literal["key", "value"] = "key" if error["type"] == "extra_forbidden" else "value"
    mark = document.mark(keys, of=of)
    return Problem(
        file=mark.file,
        line=mark.line,
        column=mark.column,
        field=dotted(keys),
        message=message,
        remedy=remedy,
    )


def _wrong_value(group: list[_Complaint]) -> tuple[str, str]:
    """Return message and remedy for a value of the wrong kind or outside its range."""
    value = group[0].error["input"]
    expected = " or ".join(dict.fromkeys(_expected(complaint.error) for complaint in group))
    written = str(value).lower() if isinstance(value, bool) else repr(value)
    written = "null" if value is None else written
    message = f"{_shortened(written)} must be {expected}"
    if "text" in expected and isinstance(value, bool):
        return message, "YAML reads yes, no, on and off as true and false: put it in quotes."
    if "text" in expected and isinstance(value, int | float):
        return message, "Put the number in quotes."
    if group[0].error["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", str(group[0].error["ctx"]["expected"]))
        return message, did_you_mean(value, choices, what="Choices") if choices else ""
    return message, ""


def _expected(error: ErrorDetails) -> str:
    """Return what would have been right, as words."""
    phrase = _EXPECTED.get(error["type"])
    if phrase is None:
        return error["msg"].removeprefix("Input should be ")
    return phrase.format(**error.get("ctx", {}))


def _unknown_key(keys: Keys, model: type[Spec], data: Any) -> tuple[str, str]:
    """Return message and remedy for a key that is not in the model."""
    key = keys[-1]
    message = f"there is no key `{key}` here"
    if model is TaskSpec and len(keys) == 1:
        if key in VlmbenchTask.model_fields:
            return message, f"`{key}` belongs under `metadata: {{vlmbench: ...}}`."
        if key in _LM_EVAL_ONLY:
            message = f"lm-eval's key `{key}` is not supported here"
            return message, f"{_LM_EVAL_ONLY[key]} lm-eval itself runs it: `vlmbench lm-eval`."
    spec = _spec_at(model, keys[:-1], data)
    if spec is DatasetOptions and key in _OF_LOAD_DATASET:
        return message, _OF_LOAD_DATASET[key]
    names = tuple(spec.model_fields) if spec else ()
    return message, did_you_mean(key, names, what="Keys here")


def _missing(keys: Keys, model: type[Spec], data: Any) -> tuple[str, str]:
    """Return message and remedy for a key or item that has to be there."""
    key = keys[-1]
    if isinstance(key, int):
        return f"item {key} of the list is missing", ""
    tags = ", ".join(tags_of(model, keys[:-1], key))
    remedy = f"Choices: {tags}." if tags else _meaning(keys, model, data)
    return f"the key `{key}` is missing", remedy


def _meaning(keys: Keys, model: type[Spec], data: Any) -> str:
    """Return what a key stands for, as its class says it; nothing for items of lists."""
    spec = _spec_at(model, keys[:-1], data)
    field = spec.model_fields.get(str(keys[-1])) if spec else None
    return " ".join((field.description or "").split()) if field else ""


def tags_of(model: type[Spec], keys: Keys, discriminator: str) -> tuple[str, ...]:
    """Return the tags of the union at `keys`, or nothing where there is none."""
    if not keys or discriminator not in _DISCRIMINATORS:
        return ()
    holder = _spec_at(model, keys[:-1], None)
    field = holder.model_fields.get(str(keys[-1])) if holder else None
    classes = _spec_classes(field.annotation) if field else []
    return tuple(_tag(spec, discriminator) for spec in classes)


def _spec_at(model: type[Spec], keys: Keys, data: Any) -> type[Spec] | None:
    """Return the class that checks the mapping at `keys`; unions are told apart by `data`."""
    spec: type[Spec] | None = model
    for key in keys:
        data = data[key] if _holds(data, key) else None
        if isinstance(key, int):
            continue  # the items of a list were resolved with the list
        field = spec.model_fields.get(key) if spec else None
        classes = _spec_classes(field.annotation) if field else []
        chosen = [spec for spec in classes if len(classes) == 1 or _matches(spec, data)]
        if isinstance(data, dict) and not any(name in data for name in _DISCRIMINATORS):
            chosen = classes  # a union whose first class may leave its tag out
        spec = chosen[0] if chosen else None
    return spec


def _spec_classes(annotation: Any) -> list[type[Spec]]:
    """Return the Spec classes inside unions, tuples and Annotated."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return [annotation]
    return [spec for inner in get_args(annotation) for spec in _spec_classes(inner)]


def _matches(spec: type[Spec], data: Any) -> bool:
    return isinstance(data, dict) and any(
        name in spec.model_fields and _tag(spec, name) == data.get(name) for name in _DISCRIMINATORS
    )


def _tag(spec: type[Spec], discriminator: str) -> str:
    return str(get_args(spec.model_fields[discriminator].annotation)[0])


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
