"""Labels of the readouts that tables and tests name, as rows and records have them."""

from __future__ import annotations

from typing import Final

from vlmbench.spec import Encoder, Internals, Prompted, Rule

PROMPTED: Final = Prompted.kind_of()
ENCODER: Final = Encoder.kind_of()
ENCODER_MEAN: Final = Encoder(pooling="mean").label
INTERNALS: Final = Internals.kind_of()
RULE: Final = Rule.kind_of()

GAP: Final = f"{ENCODER}-{PROMPTED}"
"""The readout that is named when one is subtracted from the other."""
