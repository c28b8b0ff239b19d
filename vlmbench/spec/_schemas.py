"""JSON Schemas, so that editors complete and check task, model and study YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from vlmbench.spec._load import MODELS, Kind

FOLDER = Path(__file__).parent / "schemas"


def schema_path(kind: Kind) -> Path:
    """Return the shipped schema of a kind of spec."""
    return FOLDER / f"{kind}.schema.json"


def schema(kind: Kind) -> dict[str, Any]:
    """Return the JSON Schema of a kind of spec.

    An editor cannot follow `include`, so required keys are only asked for where there is none.
    """
    result = MODELS[kind].model_json_schema()
    required = {"required": result.pop("required")}
    if "include" in result["properties"]:
        result |= {"if": {"required": ["include"]}, "else": required}
    else:
        result |= required
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **result}


def write_schemas(folder: Path = FOLDER) -> list[Path]:
    """Write every schema, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for kind in get_args(Kind):
        path = folder / schema_path(kind).name
        path.write_text(json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n", "utf-8")
        files.append(path)
    return files
