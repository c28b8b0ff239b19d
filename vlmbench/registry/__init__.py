"""Names: tasks, groups, models and studies on the search path, backends and readouts."""

from vlmbench.registry._catalogue import Catalogue, catalogue, loads
from vlmbench.registry._checkpoint_files import is_checkpoint, read_object
from vlmbench.registry._context import context_length
from vlmbench.registry._derive import Derived, Fact, derive, derived_yaml
from vlmbench.registry._families import FAMILIES, Family, Layer, family_of
from vlmbench.registry._hosts import check_hosts
from vlmbench.registry._lm_eval import LM_EVAL_PREFIX, lm_eval_tasks, shipped_yaml
from vlmbench.registry._paths import packaged_paths, search_paths, yaml_files
from vlmbench.registry._pixels import CUT_OFF, pixels_of
from vlmbench.registry._plugins import Plugin, backends, readouts
from vlmbench.registry._registry import Registry
from vlmbench.registry._section import AGAIN, MOST_LAYERS, MOST_SIDE, Section

__all__ = [
    "AGAIN",
    "CUT_OFF",
    "FAMILIES",
    "LM_EVAL_PREFIX",
    "MOST_LAYERS",
    "MOST_SIDE",
    "Catalogue",
    "Derived",
    "Fact",
    "Family",
    "Layer",
    "Plugin",
    "Registry",
    "Section",
    "backends",
    "catalogue",
    "check_hosts",
    "context_length",
    "derive",
    "derived_yaml",
    "family_of",
    "is_checkpoint",
    "lm_eval_tasks",
    "loads",
    "packaged_paths",
    "pixels_of",
    "read_object",
    "readouts",
    "search_paths",
    "shipped_yaml",
    "yaml_files",
]
