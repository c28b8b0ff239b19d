"""Names of the readouts, as rows and records hold them."""

from __future__ import annotations

from typing import Final

PROMPTED: Final = "prompted"
ENCODER: Final = "encoder"
INTERNALS: Final = "internals"
RULE: Final = "rule"

GAP: Final = "encoder-prompted"
"""What stands for a readout where one is subtracted from the other."""
