"""The store: records of cells on disk, readable without any model."""

from vlmbench.store._records import read_about, read_scores, write_atomically, write_record

__all__ = ["read_about", "read_scores", "write_atomically", "write_record"]
