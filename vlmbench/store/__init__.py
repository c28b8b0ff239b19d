"""The store: a run's folder, with its manifest, statistics and records; no model is needed."""

from vlmbench.store._folder import Run, RunFolder, file_stem
from vlmbench.store._journal import Appended, Frame, Journal
from vlmbench.store._manifest import (
    FailedCell,
    Manifest,
    ModelRecord,
    ServerRecord,
    SkippedCell,
    TaskRecord,
    Versions,
    installed_versions,
    parse_manifest,
)
from vlmbench.store._record import Basis, Exchange, Record, RecordAbout

__all__ = [
    "Appended",
    "Basis",
    "Exchange",
    "FailedCell",
    "Frame",
    "Journal",
    "Manifest",
    "ModelRecord",
    "Record",
    "RecordAbout",
    "Run",
    "RunFolder",
    "ServerRecord",
    "SkippedCell",
    "TaskRecord",
    "Versions",
    "file_stem",
    "installed_versions",
    "parse_manifest",
]
