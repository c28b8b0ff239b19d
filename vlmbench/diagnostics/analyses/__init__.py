"""Where vision is lost: what stored records measure beyond the seven tests, without a verdict.

Each analysis is a module of its own, with its quantities, the function that computes them from
scores, and `ANALYSIS`, which runs it on the evidence of a run; `ANALYSES` lists them all.
"""

from __future__ import annotations

from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Analysis, Finding
from vlmbench.diagnostics.analyses import (
    answer_inside,
    attention,
    counterfactual,
    interventions,
    prefix,
    prompts,
    stages,
    tuning,
)
from vlmbench.types import VlmbenchError

ANALYSES: tuple[Analysis, ...] = (
    stages.ANALYSIS,
    answer_inside.ANALYSIS,
    prompts.ANALYSIS,
    prefix.ANALYSIS,
    tuning.ANALYSIS,
    interventions.KNOCKOUT,
    interventions.PATCHING,
    counterfactual.ANALYSIS,
    attention.ANALYSIS,
)
"""All analyses, in the order in which they are made and reported."""


def analyse(evidence: Evidence, *, seed: int = 0) -> tuple[Finding, ...]:
    """Return the findings of all analyses that a run has cells for, in the order of `ANALYSES`.

    A pure function of what was stored, as `diagnose` is. An analysis that cannot be made of the
    cells there are gives a finding that says why.

    Args:
        evidence: The stored cells.
        seed: Seed of every resampling.
    """
    findings = []
    for analysis in ANALYSES:
        try:
            found = analysis.run(evidence, seed)
        except VlmbenchError as error:
            why = error.problems[0].message.rstrip(".")
            found = Finding(analysis=analysis, says=f"Could not be made: {why}.")
        if found is not None:
            findings.append(found)
    return tuple(findings)
