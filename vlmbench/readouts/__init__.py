"""Readouts: every way in which an answer is read."""

from vlmbench.readouts._answers import (
    by_blink,
    by_declaration,
    by_filters,
    by_lm_eval,
    read_texts,
)
from vlmbench.readouts._encoder import EncoderReadout, read_encoder
from vlmbench.readouts._hidden import HiddenReadout, read_hidden
from vlmbench.readouts._internals import InternalsReadout, read_internals
from vlmbench.readouts._ledger import ElsewhereError, Ledger
from vlmbench.readouts._prompted import PromptedReadout, read_prompted
from vlmbench.readouts._prompts import build_prompt, place_images
from vlmbench.readouts._reading import (
    NOT_KNOWN,
    Answer,
    Numbers,
    Progress,
    Reading,
    ignore,
    in_canonical_order,
    make_reading,
)
from vlmbench.readouts._reads import LoadedModel, Opened, Reads, implementation
from vlmbench.readouts._recorded import RecordedReadout, read_recorded
from vlmbench.readouts._replies import read_replies
from vlmbench.readouts._rules import RuleReadout, read_rule

__all__ = [
    "NOT_KNOWN",
    "Answer",
    "ElsewhereError",
    "EncoderReadout",
    "HiddenReadout",
    "InternalsReadout",
    "Ledger",
    "LoadedModel",
    "Numbers",
    "Opened",
    "Progress",
    "PromptedReadout",
    "Reading",
    "Reads",
    "RecordedReadout",
    "RuleReadout",
    "build_prompt",
    "by_blink",
    "by_declaration",
    "by_filters",
    "by_lm_eval",
    "ignore",
    "implementation",
    "in_canonical_order",
    "make_reading",
    "place_images",
    "read_encoder",
    "read_hidden",
    "read_internals",
    "read_prompted",
    "read_recorded",
    "read_replies",
    "read_rule",
    "read_texts",
]
