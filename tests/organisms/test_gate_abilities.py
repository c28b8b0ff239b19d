from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from home import Home, asked, document, noise, task_keys
from PIL import Image
from transformers import PreTrainedConfig

from vlmbench.metrics import accuracy
from vlmbench.models import Letterbox, Tower, TowerStates, stored_lora
from vlmbench.organisms import as_json
from vlmbench.organisms._gate_abilities import ability_row, lora_row
from vlmbench.organisms._gate_rows import Held
from vlmbench.readouts import read_prompted
from vlmbench.spec import Tuning, Twin, load_file
from vlmbench.types import Region

COUNT = 60
REGIONS = {"choices": {"kind": "image", "images": [0, 1, 2]}}
KEYS = task_keys(
    "odd", doc_to_text="<image><image><image>Which?", doc_to_image=["a", "b", "c"],
    doc_to_choice=list("ABC"), bench={"regions": REGIONS, "probe": {"kind": "odd_one_out"}},
)  # fmt: skip


class Eye(Tower):
    """An encoder that sees one thing, which of two its first pixel is; untrained, not even that."""

    n_layers = consumed = 2
    letterbox, patch = Letterbox(side=16), 8
    twin = Twin(layer=-1, relation="identical")
    transform = "none"

    def __init__(self, *, seeing: bool = True) -> None:
        self.seeing = seeing
        self.module, self.weights_digest = torch.nn.Linear(1, 1), f"seeing={seeing}"
        self.module.config = PreTrainedConfig()

    def randomised(self, seed):
        return Eye(seeing=False)

    def states(self, squares, layers):
        first = torch.tensor([square.getpixel((0, 0))[0] % 2 for square in squares])
        seen = torch.eye(2)[first if self.seeing else torch.zeros_like(first)]
        grid = seen[:, None, None, None].expand(-1, len(layers), 2, 2, 2)
        return TowerStates(patch_tokens=grid, cls_token=seen)


def shown(index: int, place: int, kind: str) -> Image.Image:
    """One of three images of a document: the odd one stands at `index % 3`."""
    odd = place == index % 3
    image = noise(3 * index + (place if kind != "plain" else odd), (16, 16))
    red, green, blue = image.getpixel((0, 0))
    told = odd if kind != "dim" else 0
    image.putpixel((0, 0), (red // 2 * 2 + told, green, blue))
    return image


@pytest.fixture(scope="module")
def abilities(tmp_path_factory) -> dict[str, Held]:
    """By what tells the odd one: the encoder alone, nothing, or any pixel.

    In `clear` three images of noise differ in what the encoder sees, in `dim` they do not, and in
    `plain` two are one besides, which rules find too.
    """
    home = Home(tmp_path_factory.mktemp("home"))
    located = load_file(home.write("odd.yaml", KEYS))
    whole = tuple(Region(image=place, kind="image") for place in range(3))
    found = {}
    for kind in ("clear", "dim", "plain"):
        documents = [
            document(i, *(shown(i, place, kind) for place in range(3)), choices="ABC",
                     candidates=whole)
            for i in range(COUNT)
        ]  # fmt: skip
        found[kind] = Held(located, asked(documents, ["<image>" * 3] * COUNT))
    return found


@pytest.mark.parametrize(
    ("kinds", "above", "passed"),
    [
        (["clear"] * 4 + ["dim", "plain"], 4, True),
        (["dim", "plain"] + ["clear"] * 3 + ["dim"], 3, False),
        (["clear"], 1, False),
    ],
)
def test_abilities_count_where_the_encoder_is_above_untrained_and_rules(
    abilities, tmp_path, kinds, above, passed
):
    asked_for = [abilities[kind] for kind in kinds]
    row, best = ability_row(asked_for, Eye(), data_root=tmp_path, cache=tmp_path)
    assert (row.stat.value, row.stat.n, row.passed) == (above, len(kinds), passed)
    assert best is not abilities["dim"]
    assert f"({', '.join(['odd'] * above)})" in row.criterion
    assert row.cells == (row.criterion, str(above), "–", f"at least 4 of {len(kinds)}",
                         "yes" if passed else "no")  # fmt: skip
    assert as_json([row])[0]["low"] is None


def test_an_untrained_encoder_is_above_nothing(abilities, tmp_path):
    row, _ = ability_row(
        list(abilities.values()), Eye(seeing=False), data_root=tmp_path, cache=tmp_path
    )
    assert (row.stat.value, row.passed) == (0, False)


@pytest.mark.parametrize(("seeing", "value", "passed"), [(True, 1.0, True), (False, 0.25, False)])
def test_what_lora_leaves_is_held_to_chance(
    held, fake, monkeypatch, tmp_path, seeing, value, passed
):
    """An oracle passes and a model that says A does not, whatever they were taught."""
    here = "vlmbench.organisms._gate_abilities"
    monkeypatch.setattr(f"{here}.taught", lambda *_, **__: tmp_path)
    monkeypatch.setattr(f"{here}.stored_lora", lambda *_: nullcontext())
    backend = fake(seeing=seeing)
    backend.model = None
    row = lora_row(held, backend, data_root=tmp_path, cache=tmp_path)
    assert (row.stat.value, row.stat.n, row.passed) == (value, 80, passed)
    assert row.target == "interval above chance, 0.25"


def test_the_lora_row_is_of_the_model_with_its_adapter(held, toy_backend, tmp_path):
    few = Held(held.located, held.asked[:8])
    tuning = Tuning(documents=6, steps=2, batch=3, check_documents=2)
    row = lora_row(few, toy_backend, data_root=tmp_path, cache=tmp_path, tuning=tuning)
    (adapter,) = tmp_path.glob("taught-*")
    with stored_lora(toy_backend.model, adapter):
        scores = read_prompted(few.asked, few.task, toy_backend).scores
    assert row.stat == accuracy(scores)
