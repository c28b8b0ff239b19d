"""Thresholds of the verdict: values with their reasons, read from YAML."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from vlmbench.diagnostics._criteria import ThresholdName
from vlmbench.spec import Spec
from vlmbench.types import Problem, VlmbenchError

SHIPPED = Path(__file__).with_name("verdict.yaml")


class Threshold(Spec):
    """A value that decides, and why it was chosen."""

    value: float = Field(allow_inf_nan=False)
    reason: str = Field(min_length=20)
    """One sentence."""


class Thresholds(Spec):
    """The thresholds of the verdict's indicators; every key is needed."""

    near_chance: Threshold
    """Chance-corrected accuracy at or below which the encoder's readout is near chance."""
    high_encoder: Threshold
    """Chance-corrected accuracy above which the encoder's readout is high."""
    gain: Threshold
    """Accuracy that the image must add to a blank one."""
    late: Threshold
    """Accuracy that a readout of a late layer must add to prompt, blind and majority."""
    shift: Threshold
    """Mean total variation against another document's image."""
    harm: Threshold
    """Usable information in bits, at or below which the image does harm."""
    override: Threshold
    """Share of documents that follow the image against a wrong hint."""
    consistency: Threshold
    """p-value above which test 3 is at its null."""
    fall: Threshold
    """Share of the image's influence that filler takes away."""

    def value(self, name: ThresholdName) -> float:
        """Return the value of the threshold called `name`."""
        threshold: Threshold = getattr(self, name)
        return threshold.value


def load_thresholds(path: Path = SHIPPED) -> Thresholds:
    """Read thresholds from YAML.

    Raises:
        VlmbenchError: With every key that is wrong, unknown or missing.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Thresholds.model_validate(data)
    except (OSError, yaml.YAMLError) as error:
        raise VlmbenchError(
            Problem(file=str(path), message=str(error), remedy="Give a copy of verdict.yaml.")
        ) from None
    except ValidationError as error:
        raise VlmbenchError(
            Problem(
                file=str(path),
                field=".".join(map(str, item["loc"])),
                message=item["msg"],
                remedy=f"The keys are {', '.join(Thresholds.model_fields)}; each has a value and "
                "a reason.",
            )
            for item in error.errors()
        ) from None
