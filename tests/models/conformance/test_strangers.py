"""Families that break the conventions are refused when they are loaded, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_strangers as strangers
import torch
from home import Home, vlmbench

from vlmbench.models import HfBackend, Tower
from vlmbench.models._checkpoint import load_model
from vlmbench.models._inputs import Inputs
from vlmbench.models._processor import load_processor
from vlmbench.models._text import PromptText
from vlmbench.models._trial import try_out
from vlmbench.registry import derive, family_of
from vlmbench.types import VlmbenchError

# Noise of transformers' image processors under numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CPU = torch.device("cpu")
UNSAID = "does not say how an image is written"
REFUSED = {
    strangers.git: f"'git'.*{UNSAID}",
    strangers.kosmos2: f"'kosmos-2'.*{UNSAID}",
    strangers.blip: f"'blip'.*{UNSAID}",
    strangers.blip2: "'blip-2'.*cannot be asked about an image: RuntimeError",
    strangers.blip2_t5: "'blip-2', an encoder-decoder",
    strangers.florence2: "'florence2', an encoder-decoder",
}


@pytest.mark.parametrize(
    ("write", "reason"), REFUSED.items(), ids=[write.__name__ for write in REFUSED]
)
def test_a_family_that_cannot_be_asked_is_refused(tmp_path, write, reason):
    write(tmp_path / "model")
    model = derive(str(tmp_path / "model")).model
    with pytest.raises(VlmbenchError, match=reason):
        HfBackend.load(model.spec, model.folder, CPU, torch.float32)


def test_a_run_ends_with_the_reason(tmp_path):
    home = Home(tmp_path)
    task = home.pairs("matching", 2)
    strangers.git(tmp_path / "git")
    said = vlmbench(
        "run", "--models", tmp_path / "git", "--tasks", task, "--output", tmp_path / "run",
        "--device", "cpu", status=1,
    )  # fmt: skip
    assert UNSAID in said.words
    assert "Traceback" not in said.words


def parts(write: Callable[[Path], None], folder: Path) -> Inputs:
    """Return a model that is loaded without being asked anything."""
    write(folder)
    spec = derive(str(folder)).model.spec
    model, _ = load_model(str(folder), spec, CPU, torch.float32)
    processor = load_processor(str(folder), None)
    text = PromptText(processor, spec, family_of(model.config.model_type))
    return Inputs(model.eval(), text)


def test_logits_that_are_not_one_row_a_token_are_refused(tmp_path):
    """GIT puts the image's tokens before the text's, so what follows a prompt stands elsewhere."""
    inputs = parts(strangers.git, tmp_path)
    inputs.text.writes_images = True
    with pytest.raises(VlmbenchError, match=r"logits at (\d+) positions for a prompt of (\d+)"):
        try_out(inputs)


def test_a_tower_whose_features_are_changed_on_their_way_has_no_twin(tmp_path):
    """Kosmos-2 norms them outside its tower, and brings them to unit length."""
    inputs = parts(strangers.kosmos2, tmp_path)
    spec = inputs.text.spec
    backend = HfBackend(inputs.model, inputs.text.processor, spec)
    with pytest.raises(VlmbenchError, match=r"'kosmos-2'.*twin is refused.*cosine of 0\.9"):
        Tower.inside(backend, spec.twin)
