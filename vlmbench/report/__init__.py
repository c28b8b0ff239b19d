"""Reports: finished runs in, tables and model cards out; no model is loaded.

Tables read rows only. Model cards (`vlmbench.report.cards`, imported where needed: it brings
scikit-learn and matplotlib) read records through `vlmbench.diagnostics`.
"""

from vlmbench.report._again import Again, measured_again
from vlmbench.report._bars import gaps_terminal
from vlmbench.report._board import Board, assemble
from vlmbench.report._check import check_leaderboard
from vlmbench.report._files import leaderboard
from vlmbench.report._layout import Column, Layout, Row
from vlmbench.report._readings import readings_terminal
from vlmbench.report._sources import Source, matching, read_sources
from vlmbench.report._terminal import rules_terminal, terminal

__all__ = [
    "Again",
    "Board",
    "Column",
    "Layout",
    "Row",
    "Source",
    "assemble",
    "check_leaderboard",
    "gaps_terminal",
    "leaderboard",
    "matching",
    "measured_again",
    "read_sources",
    "readings_terminal",
    "rules_terminal",
    "terminal",
]
