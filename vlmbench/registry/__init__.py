"""Names: tasks, groups, models and studies on the search path, backends and readouts."""

from vlmbench.registry._catalogue import Catalogue, catalogue
from vlmbench.registry._paths import packaged_paths, search_paths, yaml_files
from vlmbench.registry._plugins import Plugin, backends, readouts
from vlmbench.registry._registry import Registry

__all__ = [
    "Catalogue",
    "Plugin",
    "Registry",
    "backends",
    "catalogue",
    "packaged_paths",
    "readouts",
    "search_paths",
    "yaml_files",
]
