"""Where the package writes, moves or deletes files, by what its source says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_ALWAYS = {
    "write_text", "write_bytes", "mkdir", "makedirs", "unlink", "remove", "rmdir", "rmtree",
    "rename", "symlink_to", "hardlink_to", "symlink", "link", "touch", "chmod", "truncate", "save",
    "savez", "savez_compressed", "savefig", "save_file", "save_pretrained", "save_model",
    "save_to_disk", "to_parquet", "to_csv", "to_json", "to_pickle", "to_file", "write_table",
    "ParquetWriter", "copyfile", "copytree", "move", "extractall", "mkstemp", "mkdtemp",
    "TemporaryDirectory", "NamedTemporaryFile", "FileLock", "memmap", "open_memmap", "tofile",
    "urlretrieve", "drafted", "replacing", "write_atomically", "write_parquet",
}  # fmt: skip
_MODE = re.compile(r"(?=.*[wax+])[rwaxbt+]{1,3}")


def writers(source: str) -> Iterator[tuple[str, str]]:
    """Yield (function, call) of everything in a module's source that changes files."""
    yield from _inside(ast.parse(source), "")


def _inside(node: ast.AST, function: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        where = f"{function}.{child.name}".lstrip(".") if named else function
        if isinstance(child, ast.Call) and (call := _writes(child)) is not None:
            yield where, call
        yield from _inside(child, where)


def _writes(call: ast.Call) -> str | None:
    """Return the name of a call that changes files, None of any other."""
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            pass
        case _:
            return None
    method = isinstance(call.func, ast.Attribute)
    if name in _ALWAYS:
        return name
    if name == "replace" and method and len(call.args) == 1 and not call.keywords:
        return name  # of text it takes two arguments, of a dataclass keywords
    if name == "copy" and len(call.args) >= 2:
        return name
    if name == "open":
        modes = [*call.args[:2], *(key.value for key in call.keywords if key.arg == "mode")]
        said = [one.value for one in modes if isinstance(one, ast.Constant)]
        given = len(call.args) > 1 or len(modes) > len(call.args)
        if any(_MODE.fullmatch(str(one)) for one in said) or (given and not said):
            return name
    return None


def writers_of(package: Path) -> set[str]:
    """Return `room/module.py: function` for every writer of a package."""
    return {
        f"{path.relative_to(package)}: {function}"
        for path in package.rglob("*.py")
        for function, _ in writers(path.read_text(encoding="utf-8"))
    }
