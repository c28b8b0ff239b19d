"""Reports: finished runs in, tables out. Reads rows only, and never scores or models."""

from vlmbench.report._board import Board, assemble
from vlmbench.report._leaderboard import leaderboard
from vlmbench.report._run import Manifest, ModelRecord, Run, TaskRecord, read_run
from vlmbench.report._terminal import terminal

__all__ = [
    "Board",
    "Manifest",
    "ModelRecord",
    "Run",
    "TaskRecord",
    "assemble",
    "leaderboard",
    "read_run",
    "terminal",
]
