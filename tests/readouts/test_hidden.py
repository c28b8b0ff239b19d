"""Stages of a model that is right by construction: where the answer is kept, and where it ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from llava import PATCH, SIDE, make_llava
from peft import LoraConfig, inject_adapter_in_model
from PIL import Image
from torch import nn

from vlmbench.metrics import accuracy, chance
from vlmbench.models import HfBackend, StageTap, Tower, load_backend
from vlmbench.readouts import read_hidden, read_prompted
from vlmbench.registry import catalogue, derive
from vlmbench.spec import Hidden, TaskSpec
from vlmbench.types import Asked, ChoiceScores, Document, EncodedImage, Region, VlmbenchError

# Noise of transformers' image processors under numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

GRID = SIDE // PATCH


class Keeps(nn.Module):
    """A layer that changes nothing."""

    def forward(self, hidden_states, *_, **__):
        return hidden_states


class Erases(nn.Module):
    """A layer after which all states are the same."""

    def forward(self, hidden_states, *_, **__):
        return torch.ones_like(hidden_states)


def transparent(folder: Path, layers: list[nn.Module]) -> StageTap:
    """Return a LLaVA whose tower and projector keep each patch as it is, with these layers."""
    backend = load_backend(derive(str(make_llava(folder))).model, "cpu", "float32")
    assert isinstance(backend, HfBackend)
    model = backend.model.model
    tower = model.vision_tower
    for position in (tower.embeddings.position_embedding.weight, tower.embeddings.class_embedding):
        nn.init.zeros_(position)
    for layer in tower.encoder.layers:  # what is added to the residual stream is nothing
        for part in (layer.self_attn.out_proj, layer.mlp.fc2):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
    projector = model.multi_modal_projector
    nn.init.eye_(projector.linear_1.weight)
    nn.init.zeros_(projector.linear_1.bias)
    projector.act = projector.linear_2 = nn.Identity()
    model.language_model.layers = nn.ModuleList(layers)
    model.language_model.config.num_hidden_layers = len(layers)
    return StageTap(backend, Tower.inside(backend, backend.spec.twin))


@pytest.fixture
def task() -> TaskSpec:
    return catalogue().select_tasks("low_level_matching")[0].spec


def documents(n: int = 40, *, grid: int = GRID, flat: bool = False) -> list[Asked]:
    """Two images of noise, or of flat cells; one of four cells of the second shows what the
    reference's cell of the first shows."""
    rng, side = np.random.default_rng(0), SIDE // grid
    made = []
    for number in range(n):
        shape = (grid, grid, 3) if flat else (SIDE, SIDE, 3)
        first, second = (rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(2))
        if flat:
            first, second = (
                np.kron(i, np.ones((side, side, 1), np.uint8)) for i in (first, second)
            )
        at = [divmod(int(cell), grid) for cell in rng.permutation(grid * grid)[:4]]
        start = divmod(int(rng.integers(grid * grid)), grid)
        gold = int(rng.integers(4))
        (row, column), (to_row, to_column) = (np.array(cell) * side for cell in (start, at[gold]))
        cut = first[row : row + side, column : column + side]
        second[to_row : to_row + side, to_column : to_column + side] = cut
        pictures = (Image.fromarray(pixels) for pixels in (first, second))
        images = tuple(EncodedImage.from_pil(picture) for picture in pictures)
        points = [
            Region(image=image, kind="point", xy=((c + 0.5) * side - 0.5, (r + 0.5) * side - 0.5))
            for image, (r, c) in zip((1, 1, 1, 1, 0), [*at, start], strict=True)
        ]
        document = Document(
            doc_id=str(number), marked=False, images=images, encoder_images=images,
            reference=points[4], candidates=tuple(points[:4]), choices=("A", "B", "C", "D"),
            gold=gold, row={},
        )  # fmt: skip
        made.append(Asked(document=document, text="<image><image>Which one?"))
    return made


def by_stage(reading) -> dict[str, ChoiceScores]:
    return {
        stage.stage: replace(reading.scores, scores=stage.scores, scale=stage.scale)
        for stage in reading.stages
    }


@pytest.mark.parametrize("kept", [0, 2, 4])
def test_the_curve_falls_to_chance_at_the_layer_that_erases(tmp_path, task, kept):
    layers = [Keeps() for _ in range(kept)] + [Erases()] + [Keeps() for _ in range(4 - kept)]
    stages = by_stage(read_hidden(documents(), task, transparent(tmp_path, layers), {}))
    for layer in range(6):
        found = stages[f"language-{layer}"]
        wanted = 1.0 if layer <= kept else chance(found)
        assert accuracy(found).value == pytest.approx(wanted, abs=1e-12)


def test_an_identity_for_a_projector_loses_nothing(tmp_path, task):
    stages = by_stage(read_hidden(documents(), task, transparent(tmp_path, [Keeps()]), {}))
    np.testing.assert_array_equal(stages["same"].scores, stages["language-0"].scores)
    np.testing.assert_array_equal(stages["same"].scores, stages["language-1"].scores)
    assert accuracy(stages["same"]).value == 1.0


def test_one_stage_can_be_read_alone_and_an_unknown_one_is_refused(tmp_path, task):
    tap = transparent(tmp_path, [Keeps(), Erases()])
    asked = documents(8)
    whole = by_stage(read_hidden(asked, task, tap, {}))
    alone = read_hidden(asked, task, tap, {}, how=Hidden(stage="language-1"))
    assert list(by_stage(alone)) == ["language-1"]
    np.testing.assert_array_equal(alone.scores.scores, whole["language-1"].scores)
    with pytest.raises(VlmbenchError, match="no stage 'language-9'"):
        read_hidden(asked, task, tap, {}, how=Hidden(stage="language-9"))


def test_the_last_lens_is_the_answer_and_the_batch_does_not_matter(tmp_path, task):
    tap = transparent(tmp_path, [Keeps(), Keeps()])
    asked = documents(12)
    reading = read_hidden(asked, task, tap, {})
    answers = read_prompted(asked, task, tap.backend)
    np.testing.assert_allclose(by_stage(reading)["lens-2"].scores, answers.scores.scores, atol=1e-5)
    one_by_one = by_stage(read_hidden(asked, task, tap, {}, batch_size=1))
    for stage, scores in by_stage(reading).items():
        np.testing.assert_allclose(scores.scores, one_by_one[stage].scores, atol=1e-5)


def test_joined_images_are_read_where_they_are_on_the_canvas(tmp_path, task):
    """Side by side and padded to a square, each cell of either image is one patch of the canvas."""
    tap = transparent(tmp_path, [Keeps()])
    joined = tap.backend.spec.image.model_copy(
        update={"several": "join", "join_margin": 0, "letterbox": 2 * SIDE}
    )
    tap.backend.spec = tap.backend.spec.model_copy(update={"image": joined})
    reading = read_hidden(documents(30, grid=2, flat=True), task, tap, {})
    for stage in ("same", "language-1"):
        assert accuracy(by_stage(reading)[stage]).value == 1.0


def test_a_document_without_coordinates_fails_and_is_not_wrong(tmp_path, task):
    asked = documents(6)
    lost = replace(asked[2].document, reference=None, candidates=())
    asked[2] = replace(asked[2], document=lost)
    reading = read_hidden(asked, task, transparent(tmp_path, [Keeps()]), {})
    assert reading.scores.failed.tolist() == [False, False, True, False, False, False]
    assert "coordinates" in reading.answers[2].error


def test_centred_states_are_read_where_one_dimension_rules_the_raw_ones(tmp_path, task):
    """A layer adds a large constant to one channel: raw cosines all but tie, centred ones not."""

    class Adds(nn.Module):
        def forward(self, hidden_states, *_, **__):
            constant = torch.zeros_like(hidden_states)
            constant[..., 0] = 1e6
            return hidden_states + constant

    tap = transparent(tmp_path, [Adds()])
    raw = by_stage(read_hidden(documents(), task, tap, {}))["language-1"]
    centred = by_stage(read_hidden(documents(), task, tap, {}, how=Hidden(similarity="centred")))[
        "language-1"
    ]
    assert accuracy(centred).value == 1.0
    assert accuracy(raw).value < 0.6


def test_where_every_document_fails_the_reasons_are_kept(tmp_path, task):
    asked = [
        replace(one, document=replace(one.document, reference=None, candidates=()))
        for one in documents(3)
    ]
    reading = read_hidden(asked, task, transparent(tmp_path, [Keeps()]), {})
    assert reading.scores.failed.all()
    assert all("coordinates" in answer.error for answer in reading.answers)


def test_a_projector_under_low_rank_updates_has_the_stages_that_it_had(tmp_path, task):
    """Updates that are still zero change nothing: a wrapped layer is one stage, update and all."""
    tap = transparent(tmp_path, [Keeps()])
    asked = documents(6)
    before = by_stage(read_hidden(asked, task, tap, {}))
    projector = tap.backend.model.model.multi_modal_projector
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["linear_1"]), projector)
    assert hasattr(projector.linear_1, "base_layer")
    after = by_stage(read_hidden(asked, task, StageTap(tap.backend, tap.tower), {}))
    assert list(after) == list(before)
    for stage, scores in before.items():
        np.testing.assert_array_equal(after[stage].scores, scores.scores)


def test_a_document_that_overflows_fails_and_takes_no_stage_from_the_others(tmp_path, task):
    class Overflows(Keeps):
        calls = 0

        def forward(self, hidden_states, *rest, **more):
            self.calls += 1
            kept = super().forward(hidden_states, *rest, **more)
            return kept * torch.nan if self.calls == 3 else kept

    asked = documents(6)
    whole = read_hidden(asked, task, transparent(tmp_path, [Keeps(), Keeps()]), {}, batch_size=1)
    odd = transparent(tmp_path, [Keeps(), Overflows()])
    reading = read_hidden(asked, task, odd, {}, batch_size=1)
    assert reading.scores.failed.sum() == 1
    assert list(by_stage(reading)) == list(by_stage(whole))
    assert any(stage.startswith("lens") for stage in by_stage(reading))
    assert "left_out" not in reading.notes or not reading.notes["left_out"]
