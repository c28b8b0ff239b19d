"""Direct visual readouts: answers read off a tower's features, by a fitted head where needed."""

from vlmbench.readouts.probes._depth import DepthHead, FittedDepthHead
from vlmbench.readouts.probes._features import Frame, ImageFeatures, OnGrid, pooled
from vlmbench.readouts.probes._head import CHUNK, Example, Fitting, Head, examples, make_head
from vlmbench.readouts.probes._linear import FittedLinearHead, GroupFit, LinearHead
from vlmbench.readouts.probes._linear_depth import DepthSums, LinearDepthHead
from vlmbench.readouts.probes._loss import DepthMetrics
from vlmbench.readouts.probes._recipe import (
    PROBE3D_RECIPE,
    TINY_RECIPE,
    DptRecipe,
    recipe_for,
)
from vlmbench.readouts.probes._similarity import GramHead, KeypointHead, OddOneOutHead
from vlmbench.readouts.probes._stages import StageProbe, centred, stage_probe
from vlmbench.readouts.probes._store import FeatureStore
from vlmbench.readouts.probes._tap import FeatureTap
from vlmbench.readouts.probes._training import DepthExample, EpochMetrics

__all__ = [
    "CHUNK",
    "PROBE3D_RECIPE",
    "TINY_RECIPE",
    "DepthExample",
    "DepthHead",
    "DepthMetrics",
    "DepthSums",
    "DptRecipe",
    "EpochMetrics",
    "Example",
    "FeatureStore",
    "FeatureTap",
    "FittedDepthHead",
    "FittedLinearHead",
    "Fitting",
    "Frame",
    "GramHead",
    "GroupFit",
    "Head",
    "ImageFeatures",
    "KeypointHead",
    "LinearDepthHead",
    "LinearHead",
    "OddOneOutHead",
    "OnGrid",
    "StageProbe",
    "centred",
    "examples",
    "make_head",
    "pooled",
    "recipe_for",
    "stage_probe",
]
