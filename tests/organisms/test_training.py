from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch import nn

from vlmbench.organisms import train
from vlmbench.organisms._export import build_processor
from vlmbench.organisms._lessons import image_lesson
from vlmbench.organisms._loop import Stage, fit
from vlmbench.organisms._recipe import Recipe
from vlmbench.organisms._train import _stages, build_tokenizer


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 3))
        self.bias = nn.Parameter(torch.zeros(1))


def line_stage(folder, **changes) -> Stage:
    stage = Stage(
        name="line",
        folder=folder,
        seed=3,
        steps=40,
        rate=0.1,
        warmup=5,
        weight_decay=0.01,
        save_every=7,
    )
    return replace(stage, **changes)


def fit_line(
    model: Line, stage: Stage, stop_after: int | None = None, *, muon: bool = False
) -> None:
    def backward(step: int) -> dict[str, float]:
        if step == stop_after:
            raise KeyboardInterrupt
        x = torch.from_numpy(stage.rng(step).normal(size=(16, 3))).float()
        target = x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.3
        loss = ((x @ model.weight.T + model.bias - target) ** 2).mean()
        loss.backward()
        return {"loss": loss.item()}

    matrices = [model.weight] if muon else []
    fit(model, backward, stage, lambda _: None, matrices=matrices)


def test_the_loop_solves_a_line_and_logs_it(tmp_path):
    model = Line()
    fit_line(model, line_stage(tmp_path, steps=200))
    assert model.weight.tolist()[0] == pytest.approx([1.0, -2.0, 0.5], abs=0.02)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(20, 201, 20))
    assert log[-1]["loss"] < 0.01 * log[0]["loss"]


@pytest.mark.parametrize("muon", [False, True])
def test_a_stopped_run_ends_with_the_weights_of_an_unbroken_one(tmp_path, muon):
    (tmp_path / "whole").mkdir()
    (tmp_path / "broken").mkdir()
    whole, broken, resumed = Line(), Line(), Line()
    fit_line(whole, line_stage(tmp_path / "whole"), muon=muon)
    with pytest.raises(KeyboardInterrupt):
        fit_line(broken, line_stage(tmp_path / "broken"), stop_after=18, muon=muon)
    fit_line(resumed, line_stage(tmp_path / "broken"), muon=muon)
    assert torch.equal(whole.weight, resumed.weight)
    assert torch.equal(whole.bias, resumed.bias)
    assert not torch.equal(whole.weight, broken.weight)


def test_a_complete_stage_is_not_run_again(tmp_path):
    fit_line(Line(), line_stage(tmp_path))
    again = Line()
    fit_line(again, line_stage(tmp_path), stop_after=0)
    assert again.weight.abs().sum() > 0


def test_the_rate_rises_in_a_line_and_falls_to_a_twentieth(tmp_path):
    stage = line_stage(tmp_path, steps=1000, warmup=10)
    assert stage.rate_at(0) == pytest.approx(0.01)
    assert stage.rate_at(9) == pytest.approx(0.1)
    assert stage.rate_at(505) == pytest.approx(0.0525)
    assert stage.rate_at(1000) == pytest.approx(0.005)


@pytest.fixture(scope="module", params=["clip", "siglip", "supervised", "dense"])
def made(request, toy, image_cache, tmp_path_factory):
    """A toy model of each objective, made by the whole recipe."""
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copytree(image_cache, folder / "cache")
    recipe = toy(request.param, steps=3)
    seen: list[str] = []
    output = train(
        recipe,
        output=folder / "out",
        cache=folder / "cache",
        progress=lambda p: seen.append(p.stage),
    )
    return recipe, output, folder / "cache", seen


def test_other_images_train_again_what_learns_from_them(toy, tmp_path):
    """A dense encoder draws its own; everything that looks at the images goes by another name."""

    def names(recipe: Recipe) -> dict[str, str]:
        stages = _stages(recipe, build_tokenizer(recipe), tmp_path)
        return {name: stage.folder.name for name, stage in stages.items()}

    kept = {"clip": {"letters"}, "dense": {"letters", "encoder", "depth"}}
    for objective, same in kept.items():
        recipe = toy(objective)
        more = recipe.images.model_copy(update={"marked": 17})
        before, after = names(recipe), names(recipe.model_copy(update={"images": more}))
        assert {name for name in before if before[name] == after[name]} == same


def test_every_stage_is_run_and_reported(made):
    recipe, output, _, seen = made
    assert (output / "curves.svg").is_file()
    deep = ["depth"] if recipe.depth else []
    last = ["vision", "pointing", *(["shapes"] if recipe.shapes else [])]
    stages = ["letters", "images", "encoder", *deep, "features", *last]
    assert list(dict.fromkeys(seen)) == stages
    log = [json.loads(line) for line in (output / "training.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in log] == ["letters", "encoder", *deep, *last]


def test_the_exported_model_loads_and_says_the_same(made, images):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    recipe, output, cache, _ = made
    model = AutoModelForImageTextToText.from_pretrained(output)
    processor = AutoProcessor.from_pretrained(output)
    assert next(model.parameters()).dtype == torch.float32
    assert processor.tokenizer.padding_side == "left"
    pictures = [Image.fromarray(images.pixels[i]) for i in (0, 1, 2)]
    texts = ["First image: <image>\nSecond image: <image>\nWhat?", "<image>\nWhat is it? A. x"]
    inputs = processor(text=texts, images=pictures, return_tensors="pt", padding=True)
    with torch.inference_mode():
        together = model(**inputs).logits[:, -1]
        for row, (text, own) in enumerate(zip(texts, (pictures[:2], pictures[2:]), strict=True)):
            alone = model(**processor(text=[text], images=own, return_tensors="pt"))
            assert torch.allclose(together[row], alone.logits[0, -1], atol=1e-4)
    # The tower is the trained encoder, rounded to half precision.
    last = "depth" if recipe.depth else "encoder"
    (saved,) = cache.glob(f"{last}-*/{last}.pt")
    state = torch.load(saved, weights_only=True)["model"]
    tower = model.model.vision_tower.state_dict()
    for name, tensor in tower.items():
        if name.startswith("pooler."):
            continue  # ViTModel has one that nothing reads
        trained = state[f"encoder.{name}"]
        assert torch.allclose(tensor, trained.half().float(), atol=1e-7), name


def test_models_of_one_family_share_the_letters(toy, image_cache, tmp_path):
    shutil.copytree(image_cache, tmp_path / "cache")
    for objective in ("clip", "supervised"):
        recipe = toy(objective, steps=3)
        train(recipe, output=tmp_path / objective, cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("letters-*"))) == 1
    assert len(list((tmp_path / "cache").glob("encoder-*"))) == 2
    assert len(list((tmp_path / "cache").glob("vision-*"))) == 2


def test_the_chat_template_is_what_was_trained(made, images):
    _, output, *_ = made
    import numpy as np
    from transformers import AutoProcessor

    from vlmbench.organisms._lessons import Library

    processor = AutoProcessor.from_pretrained(output)
    rng = np.random.default_rng(0)
    library = Library(images)
    chatty = [
        lesson for lesson in (image_lesson(rng, library, 1) for _ in range(60)) if lesson.chatty
    ]
    for lesson in chatty:
        content: list[dict[str, str]] = []
        parts = (lesson.head + lesson.questions[0].body).split("<image>")
        for i, part in enumerate(parts):
            content += [{"type": "text", "text": part}] if part else []
            content += [{"type": "image"}] if i < len(parts) - 1 else []
        message = [{"role": "user", "content": content}]
        rendered = processor.apply_chat_template(message, add_generation_prompt=True)
        assert rendered == lesson.texts()[0][0]


def test_images_reach_the_tower_unchanged(toy, images, tokenizer):
    import numpy as np

    from vlmbench.organisms._encoders import normalise

    recipe = toy("clip")
    processor = build_processor(recipe, tokenizer)
    ours = normalise(images.pixels[:2])
    theirs = processor.image_processor(
        [Image.fromarray(i) for i in images.pixels[:2]], return_tensors="pt"
    )["pixel_values"]
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-6)
