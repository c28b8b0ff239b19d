"""Croissant 1.1: what an exported data set's files and columns hold, as JSON-LD."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from vlmbench.tasks.worlds._world import Column, World

SPECIFICATION: Final = "http://mlcommons.org/croissant/1.1"

_TERMS = (
    "arrayShape", "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject",
    "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key",
    "md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace",
    "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}

# The type of a value, and the shape of a list of them: -1 is any length.
_TYPES: Mapping[Column, tuple[str, str]] = {
    "string": ("sc:Text", ""),
    "strings": ("sc:Text", "-1"),
    "int": ("sc:Integer", ""),
    "point": ("sc:Float", "2"),
    "points": ("sc:Float", "-1,2"),
    "image": ("sc:ImageObject", ""),
    "depth": ("sc:ImageObject", ""),
}


def croissant(world: World, name: str, files: Mapping[str, str]) -> str:
    """Return the Croissant description of exported splits, as the text of `croissant.json`.

    Args:
        world: What drew them.
        name: Of the data set: its world and fingerprint.
        files: SHA-256 of every split's Parquet file, by split.
    """
    said = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": SPECIFICATION,
        "name": name,
        "description": world.summary,
        "version": f"{world.version}.0.0",
        "isLiveDataset": False,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": f"{split}.parquet",
                "name": f"{split}.parquet",
                "contentUrl": f"{split}.parquet",
                "encodingFormat": "application/x-parquet",
                "sha256": digest,
            }
            for split, digest in files.items()
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": split,
                "name": split,
                "field": [_field(split, *column) for column in world.all_columns.items()],
            }
            for split in files
        ],
    }
    return json.dumps(said, indent=1, ensure_ascii=False) + "\n"


def _field(split: str, name: str, column: Column) -> dict[str, Any]:
    kind, shape = _TYPES[column]
    source: dict[str, Any] = {
        "fileObject": {"@id": f"{split}.parquet"},
        "extract": {"column": name},
    }
    if kind == "sc:ImageObject":
        source["transform"] = {"jsonPath": "bytes"}
    about = {
        "@type": "cr:Field",
        "@id": f"{split}/{name}",
        "name": f"{split}/{name}",
        "dataType": kind,
        "source": source,
    }
    return about | ({"isArray": True, "arrayShape": shape} if shape else {})
