"""Checkpoints that were cut, flipped, or written to do harm: refused with a reason, or asked."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from guard import Outcome, guarded
from home import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llava import make_llava
from PIL import Image
from spoilt import JSONS, SPOILT, WEIGHTS, Spoil, places, text

from vlmbench.models import Prompt, Tower, load_backend
from vlmbench.registry import derive
from vlmbench.spec import GenerationKwargs

MEMORY = 600 * 2**20
PROMPT = Prompt(user="<image>\nWhich? A or B", images=(Image.new("RGB", (40, 30), (200, 10, 10)),))
SEEN: Counter[str] = Counter()
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 2**70), st.floats(), st.text(max_size=8),
    st.sampled_from([10**9, -1, 0, "", [], {}, [[]], [None], {"a": 1}, "\x1b[2J", "/etc/passwd"]),
)  # fmt: skip
# One of each kind; the others are soaked.
FEW = {
    "config model_type = null", "config vision_config = []", "config image_token_id = 1000000000",
    "config text_config.num_hidden_layers = 1000000000", "config is a pipe", "tokenizer cut at 0.9",
    "processor image_processor.size = 1000000000", "processor processor_class = \"pipeline\"",
    "generation_config eos_token_id = \"x\"", "weights cut late", "weights a link to nothing",
    "a dtype that is none", "all NaN",
}  # fmt: skip


def ask(folder: Path) -> dict[str, Any]:
    """Derive a spec, load the model, ask one document, and look at its tower."""
    model = derive(str(folder)).model
    assert model.spec.backend == "hf"
    backend: Any = load_backend(model, "cpu", "float32")
    try:
        (scores,) = backend.choice_logprobs([PROMPT], [["A", "B"]])
        (reply,) = backend.generate([PROMPT], GenerationKwargs(max_gen_toks=4))
    except Exception as error:  # a document that fails is one of the engine's
        return {"scores": [], "text": "", "error": f"{type(error).__name__}: {error}"}
    if model.spec.twin is not None:
        tower = Tower.inside(backend, model.spec.twin)
        tower.states([Image.new("RGB", (tower.side, tower.side))], [tower.consumed])
    return {"scores": scores.tolist(), "text": reply.text, "error": reply.error}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good checkpoint; everything that is slow to import has been imported by its trial."""
    folder = make_llava(tmp_path_factory.mktemp("good") / "llava")
    assert ask(folder)["scores"][0] < 0
    return folder


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork of a process that has threads of torch's must make none."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()


def tried(whole: Path, spoil: Spoil, place: Path) -> Outcome:
    """Ask a spoilt copy of a checkpoint in a process of its own."""
    folder = place / "checkpoint"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    spoil(folder)
    outcome = guarded(lambda: ask(folder), folder=place, memory=2**30)
    assert outcome.fault is None, outcome.fault
    assert outcome.memory < MEMORY, outcome.memory
    assert not (place / "ran").exists()
    if outcome.refused is not None:
        assert not re.search("[\x00-\x09\x0b-\x1f]", outcome.refused)
        SEEN["refused"] += 1
    else:
        SEEN["asked"] += 1
    return outcome


def test_a_whole_checkpoint_is_asked(whole, tmp_path):
    assert tried(whole, lambda folder: None, tmp_path).value["error"] == ""


@pytest.mark.parametrize("kind", sorted(FEW))
def test_a_spoilt_checkpoint_is_refused_or_asked(whole, tmp_path, kind):
    tried(whole, SPOILT[kind], tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("kind", sorted(SPOILT.keys() - FEW))
def test_every_spoilt_checkpoint_is_refused_or_asked(whole, tmp_path, kind):
    tried(whole, SPOILT[kind], tmp_path)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("whole numbers", "weights that are no plain numbers"),
        ("one weight less", "lacks 1 weights of its model: lm_head.weight"),
        ("a weight of another shape", "lm_head.weight is (295, 47), not (295, 48)"),
        ("an adapter of another model", "would change its weights unasked"),
        ("shards elsewhere", "is not the name of a file beside this one"),
        ("tokenizer_config is a link outside", "is a link to a file outside of the checkpoint"),
        ("pickled weights", "cannot load"),
        ("config text_config.head_dim = 1000000000", "describes a model of"),
    ],
)
def test_no_other_numbers_are_taken_for_those_of_the_checkpoint(whole, tmp_path, kind, says):
    assert says in str(tried(whole, SPOILT[kind], tmp_path).refused)


def spoilt_at_random(organism: Path) -> st.SearchStrategy[Spoil]:
    """Return a strategy of files cut and flipped, and of values in JSON replaced or left out."""

    @st.composite
    def spoil(draw: st.DrawFn) -> Spoil:
        name = draw(st.sampled_from([f"{name}.json" for name in JSONS] + [WEIGHTS] * 3))
        raw = bytearray((organism / name).read_bytes())
        ways = ["flip"] * 4 if name == WEIGHTS else ["flip", *["value"] * 4]
        how = draw(st.sampled_from([*ways, "cut"]))
        if how == "value":
            found = json.loads(raw)
            *above, key = draw(st.sampled_from(places(found)[:2000]))
            inside: Any = found
            for step in above:
                inside = inside[step]
            inside[key] = draw(ODD)
            return text(name, json.dumps(found))
        if how == "cut":
            return text(name, bytes(raw[: draw(st.integers(0, len(raw)))]))
        most = draw(st.sampled_from([9_000, len(raw), len(raw)]))  # tables of contents come first
        for at in draw(st.lists(st.integers(0, min(most, len(raw)) - 1), min_size=1, max_size=2)):
            raw[at] ^= 1 << draw(st.integers(0, 7))
        return text(name, bytes(raw))

    return spoil()


def fuzz(organism: Path, folder: Path, count: int) -> None:
    """Ask that many copies of a checkpoint that are spoilt at random."""
    SEEN.clear()

    @settings(max_examples=count, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(spoilt_at_random(organism))
    def each(spoil: Spoil) -> None:
        tried(organism, spoil, folder)

    each()
    print(f"{sum(SEEN.values())} spoilt checkpoints: {dict(SEEN)}")  # noqa: T201 -- for whoever asks
    assert min(SEEN["asked"], SEEN["refused"]) >= count // 20


def test_checkpoints_spoilt_at_random_are_refused_or_asked(whole, tmp_path):
    fuzz(whole, tmp_path, 12)


@pytest.mark.soak
@pytest.mark.parametrize("organism", ["llava", "tiny-siglip"])
def test_many_checkpoints_spoilt_at_random_are_refused_or_asked(whole, tmp_path, organism):
    fuzz(whole if organism == "llava" else ROOT / "models" / organism, tmp_path, 150)
