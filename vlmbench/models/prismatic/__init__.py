"""Checkpoints of TRI-ML's prismatic-vlms, turned into plain LLaVA-class ones."""

from __future__ import annotations

from vlmbench.models.prismatic._convert import Conversion, convert

__all__ = ["Conversion", "convert"]
