"""Reports: finished runs in, tables and model cards out; no model is loaded.

Tables read rows only. Model cards (`vlmbench.report.cards`, imported where needed: it brings
scikit-learn and matplotlib) read records through `vlmbench.diagnostics`.
"""

from vlmbench.report._board import Board, assemble
from vlmbench.report._layout import Column, Layout, Row
from vlmbench.report._leaderboard import leaderboard
from vlmbench.report._readings import readings_terminal
from vlmbench.report._terminal import rules_terminal, terminal

__all__ = [
    "Board",
    "Column",
    "Layout",
    "Row",
    "assemble",
    "leaderboard",
    "readings_terminal",
    "rules_terminal",
    "terminal",
]
