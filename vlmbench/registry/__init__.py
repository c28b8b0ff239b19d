"""Names: tasks, groups, models and studies on the search path, backends and readouts."""

from vlmbench.registry._catalogue import Catalogue, catalogue
from vlmbench.registry._families import FAMILIES, Family, Layer, family_of
from vlmbench.registry._paths import packaged_paths, search_paths, yaml_files
from vlmbench.registry._plugins import Plugin, backends, readouts
from vlmbench.registry._registry import Registry

__all__ = [
    "FAMILIES",
    "Catalogue",
    "Family",
    "Layer",
    "Plugin",
    "Registry",
    "backends",
    "catalogue",
    "family_of",
    "packaged_paths",
    "readouts",
    "search_paths",
    "yaml_files",
]
