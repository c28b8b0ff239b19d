"""From a task's probe to the rule that answers it and the layers the rule needs."""

from __future__ import annotations

from typing import assert_never

from vlmbench.readouts.probes._depth import DepthHead
from vlmbench.readouts.probes._linear import LinearHead
from vlmbench.readouts.probes._rules import GramRule, KeypointRule, OddOneOutRule
from vlmbench.spec import (
    DepthProbe,
    GramProbe,
    KeypointProbe,
    LinearProbe,
    OddOneOutProbe,
    Probe,
)
from vlmbench.types import Document, Problem

AnyRule = KeypointRule | GramRule | OddOneOutRule | DepthHead | LinearHead


def rule_for(probe: Probe) -> AnyRule:
    """Return the rule of a probe; depth and linear ones still have to be fitted."""
    match probe:
        case KeypointProbe():
            return KeypointRule()
        case GramProbe():
            return GramRule()
        case OddOneOutProbe():
            return OddOneOutRule()
        case DepthProbe():
            return DepthHead(answer=probe.answer)
        case LinearProbe():
            return LinearHead(
                label_column=probe.label_column,
                choices_column=probe.choices_column,
                group_column=probe.group_column,
            )
        case _:
            assert_never(probe)


def layers(probe: Probe, *, n_layers: int, consumed: int) -> tuple[int, ...]:
    """Return the hidden states a probe needs, shallow to deep; the last is the consumed one.

    Depth takes those a quarter, half, three quarters and all of the way to the consumed layer,
    rounded down. With all of a tower consumed these are Probe3D's (blocks n/4-1, n/2-1, 3n/4-1
    and n-1, counted from 0); deviation: what the VLM never consumes is not used. A tower with
    fewer than four blocks gives some state twice.

    Args:
        probe: What the task declares.
        n_layers: Transformer blocks of the tower.
        consumed: Index into its n_layers + 1 hidden states (0: embedding); may be negative.

    Raises:
        ValueError: If the tower has no such hidden state.
    """
    if not -(n_layers + 1) <= consumed <= n_layers:
        raise ValueError(f"layer {consumed} of a tower with {n_layers + 1} hidden states")
    last = consumed % (n_layers + 1)
    if isinstance(probe, DepthProbe):
        return (last // 4, last // 2, 3 * last // 4, last)
    return (last,)


def region_problems(probe: Probe, document: Document) -> list[Problem]:
    """Return what keeps a document from being scored by a probe, before features exist."""
    return rule_for(probe).needs.problems(document)
