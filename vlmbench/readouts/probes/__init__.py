"""Direct visual readouts: answers read off a tower's features by a rule or a fitted head."""

from vlmbench.readouts.probes._choose import AnyRule, layers, region_problems, rule_for
from vlmbench.readouts.probes._depth import DepthHead, FittedDepthHead
from vlmbench.readouts.probes._features import Frame, ImageFeatures, pooled
from vlmbench.readouts.probes._linear import FittedLinearHead, GroupFit, LinearHead
from vlmbench.readouts.probes._loss import DepthMetrics
from vlmbench.readouts.probes._recipe import (
    PROBE3D_RECIPE,
    TINY_RECIPE,
    DptRecipe,
    recipe_for,
)
from vlmbench.readouts.probes._regions import RegionNeeds
from vlmbench.readouts.probes._rules import GramRule, KeypointRule, OddOneOutRule, Rule
from vlmbench.readouts.probes._training import DepthExample, EpochMetrics

__all__ = [
    "PROBE3D_RECIPE",
    "TINY_RECIPE",
    "AnyRule",
    "DepthExample",
    "DepthHead",
    "DepthMetrics",
    "DptRecipe",
    "EpochMetrics",
    "FittedDepthHead",
    "FittedLinearHead",
    "Frame",
    "GramRule",
    "GroupFit",
    "ImageFeatures",
    "KeypointRule",
    "LinearHead",
    "OddOneOutRule",
    "RegionNeeds",
    "Rule",
    "layers",
    "pooled",
    "recipe_for",
    "region_problems",
    "rule_for",
]
