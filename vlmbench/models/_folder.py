"""What a checkpoint's folder may hold, looked at before a library opens any of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from vlmbench.registry import MOST_LAYERS, MOST_SIDE, Section, read_object
from vlmbench.types import Problem, VlmbenchError

_MOST_BUDGET = 2**26
# Files of which libraries read the text. What they say can end up in prompts and errors.
_TEXTS = (".json", ".jinja", ".model", ".txt")
_TENSORS, _INDEX = ".safetensors", "model.safetensors.index.json"
_PLAIN = frozenset({"F64", "F32", "F16", "BF16"})
# Files that libraries take for JSON objects.
_OBJECTS = (
    "config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
    "tokenizer_config.json", "chat_template.json", "special_tokens_map.json", "added_tokens.json",
    "video_preprocessor_config.json",
)  # fmt: skip
_LAYERS = re.compile(r"(num|n)_(\w+_)?(layers?|blocks)|(\w+_)?(layers|depth)")
_AGAIN = "Fetch the checkpoint again, or take a copy of it that has only files of its own."


def folder_of(source: str, revision: str | None) -> Path:
    """Return the folder that a checkpoint is in: its own, or that of the hub's cache.

    Raises:
        OSError: If the hub does not give it, or it is not in the cache.
    """
    if Path(source).is_dir():
        return Path(source)
    from transformers.utils import cached_file

    return Path(str(cached_file(source, "config.json", revision=revision))).parent


def check_folder(folder: Path) -> None:
    """Refuse a checkpoint whose files are damaged, name others, or ask for what nobody has.

    Code is never run whatever is in there, and neither are pickles: see `load_weights`. Symbolic
    links may lead out of the folder to tensors only, and to where the hub's cache keeps its files.

    Args:
        folder: A checkpoint's folder; what is not there yet is not looked at.

    Raises:
        VlmbenchError: With everything that is wrong, by file and key.
    """
    problems = list(_links_and_pipes(folder))
    if not problems:
        for check in (_adapter, _objects, _index, _tensors):
            try:
                check(folder)
            except VlmbenchError as error:
                problems += error.problems
    if problems:
        raise VlmbenchError(problems)


def _links_and_pipes(folder: Path) -> Iterator[Problem]:
    """Yield names that stand for no file, or for one that is not of the checkpoint."""
    inside = [folder.resolve()]
    if _is_cached(folder):
        inside.append(folder.resolve().parents[1] / "blobs")
    for path in sorted(folder.iterdir()):
        if path.suffix not in (*_TEXTS, _TENSORS, ".bin"):
            continue
        if not path.is_file():
            yield _unfit(path, "is not a file: it is a folder, a pipe, or a link to nothing")
        elif path.suffix in _TEXTS and path.resolve().parent not in inside:
            yield _unfit(path, "is a link to a file outside of the checkpoint")


def _adapter(folder: Path) -> None:
    """Refuse an adapter within the folder, which transformers adds to the weights unasked."""
    path = folder / "adapter_config.json"
    if path.is_file():
        message = "an adapter in the checkpoint's own folder would change its weights unasked"
        remedy = "Move the adapter to a folder of its own, and name that under `weights.lora`."
        raise VlmbenchError(Problem(file=str(path), message=message, remedy=remedy))


def _objects(folder: Path) -> None:
    """Refuse JSON files that are no objects, and numbers that no machine could serve."""
    found = {name: read_object(folder / name) for name in _OBJECTS if (folder / name).is_file()}
    if config := found.get("config.json"):
        _refuse_excess(config)
    for name in ("preprocessor_config.json", "processor_config.json"):
        if settings := found.get(name):
            _refuse_sizes(settings.section("image_processor") or settings)


def _refuse_excess(section: Section) -> None:
    """Refuse more layers than there can be, and code of the hub in place of attention."""
    for key, value in section.values.items():
        if key.endswith("_implementation") and "/" in str(value):
            raise section.wrong(key, "an implementation that comes with transformers")
        if _LAYERS.fullmatch(key) and type(value) is int:
            section.whole(key, least=-MOST_LAYERS, most=MOST_LAYERS)
        if isinstance(value, dict):
            _refuse_excess(section.section(key))


def _refuse_sizes(settings: Section) -> None:
    """Refuse an image processor that would make far too large an image of any."""
    budget = settings.values.get("merge_size") is not None  # `shortest_edge` is then an area
    for key in ("size", "crop_size"):
        if not isinstance(settings.values.get(key), dict):
            settings.side(key)
            continue
        inner = settings.section(key)
        inner.whole("height")
        inner.whole("width")
        inner.whole("shortest_edge", most=_MOST_BUDGET if budget else MOST_SIDE)


def _index(folder: Path) -> None:
    """Refuse an index that names other files than those beside it."""
    path = folder / _INDEX
    if not path.is_file():
        return
    weights = read_object(path).section("weight_map")
    for name, file in weights.values.items():
        if not isinstance(file, str) or Path(file).name != file:
            raise weights.wrong(name, "the name of a file beside this one")
        if not (folder / file).is_file() and not _is_cached(folder):
            raise weights.wrong(name, "a file that is there")


def _is_cached(folder: Path) -> bool:
    """Tell whether a folder is of the hub's cache, where files may still have to come."""
    return folder.resolve().parent.name == "snapshots"


def _tensors(folder: Path) -> None:
    """Refuse files of weights that are damaged or cut off."""
    for path in sorted(folder.glob(f"*{_TENSORS}")):
        check_tensors(path)


def check_tensors(path: Path) -> dict[str, str]:
    """Return the number format of each tensor in a file; only its table of contents is read.

    Raises:
        VlmbenchError: If it is damaged or cut off.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: str(file.get_slice(name).get_dtype()) for name in file.keys()}  # noqa: SIM118 -- it is no mapping
    except Exception as error:  # the library's own, and those of the system
        raise VlmbenchError(_unfit(path, f"is not a whole file of weights: {error}")) from error


def packed_weights(folder: Path) -> list[str]:
    """Return weights that are stored as other than plain floats, and mean nothing by themselves."""
    formats = [item for path in folder.glob(f"*{_TENSORS}") for item in check_tensors(path).items()]
    return sorted(
        name for name, kind in formats if kind not in _PLAIN and name.endswith((".weight", ".bias"))
    )


def bytes_of_weights(folder: Path) -> int:
    """Return how many bytes the files of weights in a folder have."""
    files = [path for path in folder.iterdir() if path.suffix in (_TENSORS, ".bin")]
    return sum(path.stat().st_size for path in files if path.is_file())


def _unfit(path: Path, message: str) -> Problem:
    return Problem(file=str(path), message=message, remedy=_AGAIN)
