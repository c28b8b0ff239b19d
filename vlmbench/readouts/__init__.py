"""Readouts: every way in which an answer is read."""

from vlmbench.readouts._encoder import read_encoder
from vlmbench.readouts._extract import extract
from vlmbench.readouts._features import FeatureTap
from vlmbench.readouts._internals import read_internals
from vlmbench.readouts._prompted import build_prompt, place_images, read_prompted
from vlmbench.readouts._reading import Answer, Progress, Reading, make_reading
from vlmbench.readouts._recorded import read_recorded
from vlmbench.readouts._replies import read_replies
from vlmbench.readouts._rules import read_rule

__all__ = [
    "Answer",
    "FeatureTap",
    "Progress",
    "Reading",
    "build_prompt",
    "extract",
    "make_reading",
    "place_images",
    "read_encoder",
    "read_internals",
    "read_prompted",
    "read_recorded",
    "read_replies",
    "read_rule",
]
