"""Part of a world's split: its first documents, without drawing the others.

This stands apart from the modules that draw: a fingerprint names their source, and how much of a
split is drawn changes no document.
"""

from vlmbench.tasks.worlds.partial._first import first_documents

__all__ = ["first_documents"]
