"""The store: records of cells on disk, readable without any model."""

from vlmbench.store._internals import internals_columns, read_internals
from vlmbench.store._records import read_about, read_scores, write_atomically, write_record

__all__ = [
    "internals_columns",
    "read_about",
    "read_internals",
    "read_scores",
    "write_atomically",
    "write_record",
]
