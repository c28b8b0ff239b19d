"""Converted models answer as the published forward pass does; anything odd is refused by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import prismatic_files
import published_pass
import pytest
import torch
import torch.nn.functional as F
from home import vlmbench
from PIL import Image
from prismatic_files import Files
from safetensors.torch import save_file
from transformers import LlavaForConditionalGeneration

from vlmbench.models import Prompt, prepare
from vlmbench.models._tower import Tower
from vlmbench.models.hf import HfBackend
from vlmbench.models.prismatic import Conversion, convert
from vlmbench.models.prismatic._encoders import ENCODERS
from vlmbench.spec import GenerationKwargs, Located, ModelSpec, load_file
from vlmbench.types import VlmbenchError

KINDS = tuple(published_pass.MEAN_STD)
REGISTERS = "dinov2-vit-l"
QUESTION = "Which is nearer, A or B?"
TEXT = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    f"helpful, detailed, and polite answers to the user's questions. USER: {QUESTION} ASSISTANT:"
)
SHIPPED = Path(__file__).parents[2] / "models" / "prismatic"


@dataclass(frozen=True, kw_only=True)
class Converted:
    kind: str
    files: Files
    done: Conversion
    spec: Located[ModelSpec]
    backend: HfBackend


def convert_files(files: Files, target: Path) -> Conversion:
    return convert(files.source, target, encoder=str(files.encoder), tokenizer=str(files.tokenizer))


def load(files: Files, target: Path, kind: str) -> Converted:
    done = convert_files(files, target)
    spec = load_file(done.model_yaml)
    backend = HfBackend.load(spec.spec, spec.folder, torch.device("cpu"), torch.float32)
    return Converted(kind=kind, files=files, done=done, spec=spec, backend=backend)


@pytest.fixture(scope="module", params=KINDS)
def converted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Converted:
    folder = tmp_path_factory.mktemp("prismatic")
    files = prismatic_files.make(folder, request.param)
    return load(files, folder / "converted", request.param)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return prismatic_files.make(tmp_path, "clip-vit-l")


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    rng = np.random.default_rng(3)
    return Image.fromarray(rng.integers(0, 256, (224, 224, 3), dtype=np.uint8))


def reference(model: Converted, image: Image.Image, **control: object) -> torch.Tensor:
    pixels = published_pass.pixels(image, model.kind)
    features = published_pass.patch_features(model.files.timm, model.kind, pixels, **control)
    ids = model.backend.processor.tokenizer(TEXT).input_ids
    return published_pass.logits(model.files.model, features, ids)


def answered(model: Converted, image: Image.Image) -> torch.Tensor:
    prompt = Prompt(user=f"<image>\n{QUESTION} ", images=(image,))
    batch = model.backend.inputs.encode([model.backend.render(prompt)], [prompt], side="right")
    with torch.no_grad():
        logits: torch.Tensor = model.backend.model(**batch).logits[0]
    return logits


def problems(call: Callable[[], object]) -> str:
    with pytest.raises(VlmbenchError) as caught:
        call()
    return "\n".join(str(problem) for problem in caught.value.problems)


# -- the same answers -------------------------------------------------------------------------


def test_logits_equal_the_published_forward_pass(
    converted: Converted, picture: Image.Image
) -> None:
    found, wanted = answered(converted, picture), reference(converted, picture)
    assert found.shape == wanted.shape  # start, patches, text: as many, in this order
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    assert wanted.abs().max() > 1  # or 1e-4 would say little


def said_by_plain_transformers(model: Converted, image: Image.Image) -> torch.Tensor:
    """Return the logits of its own LLaVA."""
    folder = model.done.model_yaml.parent / "converted"
    llava = LlavaForConditionalGeneration.from_pretrained(folder).eval()
    prompt = Prompt(user=f"<image>\n{QUESTION}", images=(image,))
    batch = model.backend.inputs.encode([model.backend.render(prompt)], [prompt], side="right")
    with torch.no_grad():
        logits: torch.Tensor = llava(**batch).logits[0]
    return logits


@pytest.mark.parametrize("converted", [k for k in KINDS if k != REGISTERS], indirect=True)
def test_plain_transformers_agrees(converted: Converted, picture: Image.Image) -> None:
    found, wanted = (said(converted, picture) for said in (said_by_plain_transformers, answered))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("converted", [REGISTERS], indirect=True)
def test_or_refuses(converted: Converted, picture: Image.Image) -> None:
    """Registers are what its LLaVA cannot cut: that one must not run there with other tokens."""
    with pytest.raises(ValueError, match="do not match"):
        said_by_plain_transformers(converted, picture)


def test_the_comparison_sees_a_wrong_layer_activation_or_image(
    converted: Converted, picture: Image.Image
) -> None:
    found = answered(converted, picture)
    other = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    wrong = F.gelu if converted.kind == "clip-vit-l" else published_pass.quick_gelu
    for control in (
        reference(converted, picture, left_out=0),
        reference(converted, picture, left_out=2),
        reference(converted, picture, activation=wrong),
        reference(converted, other),
    ):
        assert (found - control).abs().max() > 1e-3


def test_the_twin_reads_the_very_features_that_are_projected(
    converted: Converted, picture: Image.Image
) -> None:
    twin = converted.spec.spec.twin
    assert twin is not None
    tower = Tower.inside(converted.backend, twin)
    states = tower.states([picture], [tower.consumed])
    pixels = published_pass.pixels(picture, converted.kind)
    wanted = published_pass.patch_features(converted.files.timm, converted.kind, pixels)
    torch.testing.assert_close(
        states.patch_tokens[0, 0].flatten(0, 1), wanted[0], atol=1e-5, rtol=0
    )
    assert (states.cls_token is None) == (converted.kind == "siglip-vit-so400m")


def test_batches_and_generation_work(converted: Converted, picture: Image.Image) -> None:
    prompts = [
        Prompt(user=f"<image>\n{QUESTION}", images=(picture,)),
        Prompt(user="Say <image>", images=(picture.rotate(90),)),
    ]
    choices = [["A", "B"], ["A", "answers B"]]
    together = converted.backend.choice_logprobs(prompts, choices)
    pairs = zip(prompts, choices, strict=True)
    alone = [converted.backend.choice_logprobs([p], [c])[0] for p, c in pairs]
    for found, wanted in zip(together, alone, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    kwargs = GenerationKwargs(until=(), max_gen_toks=3)
    assert len(converted.backend.generate(prompts, kwargs)) == 2


def test_shipped_yaml_says_what_the_conversion_says(converted: Converted) -> None:
    shipped = load_file(SHIPPED / converted.done.model_yaml.name).spec
    made = converted.spec.spec
    assert isinstance(shipped, ModelSpec)
    assert (shipped.model, shipped.image, shipped.twin) == (made.model, made.image, made.twin)
    assert shipped.checkpoint == f"./{shipped.model}"


SIZES = [
    (224, 224), (96, 96), (640, 480), (500, 333), (333, 500), (200, 201), (201, 200), (97, 64),
    (30, 400), (1000, 667),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_the_published_transform(kind: str) -> None:
    short = kind.partition("-")[0]
    shipped = load_file(SHIPPED / f"{short}-224px+7b.yaml").spec
    assert isinstance(shipped, ModelSpec)
    assert shipped.image.fill == ENCODERS[kind].fill
    rng = np.random.default_rng(4)
    exact = shipped.image.model_copy(update={"padding": "square"})
    others = 0
    for width, height in SIZES:
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        wanted = np.asarray(published_pass.squared(image, kind))
        (got,) = prepare([image], shipped.image)
        np.testing.assert_array_equal(np.asarray(got), wanted)
        (control,) = prepare([image], exact)
        others += not np.array_equal(np.asarray(control), wanted)
    assert others == 6  # the sizes with an odd number of pixels to pad


def test_pixels_of_the_encoder_are_those_of_the_model(converted: Converted) -> None:
    """On an image of any shape, the twin's states are what the published pass gives."""
    rng = np.random.default_rng(5)
    image = Image.fromarray(rng.integers(0, 256, (333, 500, 3), dtype=np.uint8))
    spec = converted.spec.spec
    assert isinstance(spec, ModelSpec)
    assert spec.twin is not None
    tower = Tower.inside(converted.backend, spec.twin)
    (prompted,) = prepare([image], spec.image)
    assert np.array_equal(np.asarray(tower.letterbox.square(image)), np.asarray(prompted))
    states = tower.states([tower.letterbox.square(image)], [tower.consumed])
    square = published_pass.squared(image, converted.kind)
    pixels = published_pass.pixels(square, converted.kind)
    wanted = published_pass.patch_features(converted.files.timm, converted.kind, pixels)
    torch.testing.assert_close(
        states.patch_tokens[0, 0].flatten(0, 1), wanted[0], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("converted", ["clip-vit-l"], indirect=True)
def test_letters_are_scored_on_the_tokens_that_the_published_evaluation_reads(
    converted: Converted, picture: Image.Image
) -> None:
    """Its own scores `▁A` and `▁B` after "ASSISTANT:"; without the space they are other tokens."""
    backend = converted.backend
    letters = backend.processor.tokenizer.convert_tokens_to_ids(["▁A", "▁B"])
    wanted = reference(converted, picture)[-1].log_softmax(-1)[letters].numpy()
    prompt = Prompt(user=f"<image>\n{QUESTION}", images=(picture,))
    following = [backend.continuation(choice, "\n") for choice in "AB"]
    found, bare = (backend.choice_logprobs([prompt], [row])[0] for row in (following, ["A", "B"]))
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert np.abs(bare - wanted).max() > 0.1


# -- tokens -----------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
def test_tokens_are_start_patches_text_for_either_kind_of_tokenizer(
    tmp_path: Path, picture: Image.Image, legacy: bool
) -> None:
    files = prismatic_files.make(tmp_path, "siglip-vit-so400m", legacy=legacy)
    backend = load(files, tmp_path / "converted", "siglip-vit-so400m").backend
    prompt = Prompt(user=f"See <image> {QUESTION}", images=(picture,))
    batch = backend.inputs.encode([backend.render(prompt)], [prompt], side="right")
    (ids,) = batch["input_ids"].tolist()
    plain = backend.processor.tokenizer(TEXT.replace("Which", "See  Which")).input_ids
    image = backend.model.config.image_token_id
    assert ids == [1, *[image] * 256, *plain[1:]]
    assert backend.processor.tokenizer.pad_token == "<PAD>"
    assert backend.processor.tokenizer.pad_token_id + 1 == image


def test_chat_template_takes_system_turns_and_plain_strings(tmp_path: Path, files: Files) -> None:
    backend = load(files, tmp_path / "converted", "clip-vit-l").backend
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": " <image>\nOne? "},
        {"role": "assistant", "content": " Two "},
        {"role": "user", "content": [{"type": "text", "text": "Three?"}]},
    ]
    text = backend.processor.apply_chat_template(messages, tokenize=False)
    assert text == "<image> Be brief. USER: One? ASSISTANT: Two</s>USER: Three? ASSISTANT:"


# -- accounting -------------------------------------------------------------------------------


def test_every_source_tensor_is_used_or_named(converted: Converted) -> None:
    record = json.loads(
        (converted.done.model_yaml.parent / "converted/conversion.json").read_text()
    )
    named = set(record["tensors"].values()) | set(record["unused"])
    checkpoint = {f"{part}.{k}" for part, t in converted.files.model.items() for k in t}
    assert named - {""} == checkpoint | {f"encoder {name}" for name in converted.files.timm}
    assert set(record["tensors"]) == set(converted.backend.model.state_dict())
    assert all(record["unused"].values())
    assert {name.rpartition(".vision_tower.")[2] for name in converted.done.zeros} <= {
        "pooler.dense.weight",
        "pooler.dense.bias",
        "embeddings.mask_token",
    }


def test_every_missing_tensor_is_named_and_nothing_is_written(tmp_path: Path, files: Files) -> None:
    del files.model["llm_backbone"]["llm.model.layers.1.mlp.up_proj.weight"]
    del files.timm["blocks.2.attn.qkv.bias"]
    files.store()
    said = problems(lambda: convert_files(files, tmp_path / "converted"))
    assert "llm_backbone.llm.model.layers.1.mlp.up_proj.weight" in said
    assert "encoder blocks.2.attn.qkv.bias" in said
    assert not (tmp_path / "converted").exists()


def test_tensors_that_sizes_are_read_off_are_named_too(tmp_path: Path, files: Files) -> None:
    del files.model["llm_backbone"]["llm.model.embed_tokens.weight"]
    del files.timm["patch_embed.proj.weight"]
    files.store()
    said = problems(lambda: convert_files(files, tmp_path / "converted"))
    assert "llm_backbone.llm.model.embed_tokens.weight is missing" in said
    assert "encoder patch_embed.proj.weight is missing" in said


def test_unexpected_tensors_are_named_and_refused(tmp_path: Path, files: Files) -> None:
    files.model["vision_backbone"] = {"featurizer.cls_token": torch.zeros(1)}
    files.timm["blocks.0.ls1.gamma"] = torch.ones(prismatic_files.WIDTH)
    files.store()
    said = problems(lambda: convert_files(files, tmp_path / "converted"))
    assert "vision_backbone.featurizer.cls_token has no place" in said
    assert "encoder blocks.0.ls1.gamma has no place" in said


def test_a_wrong_shape_is_named(tmp_path: Path, files: Files) -> None:
    files.model["projector"]["projector.2.bias"] = torch.zeros(3)
    files.store()
    said = problems(lambda: convert_files(files, tmp_path / "converted"))
    assert "projector.projector.2.bias has the shape (3,)" in said


def test_an_embedding_of_another_tokenizer_is_refused(tmp_path: Path, files: Files) -> None:
    embedding = files.model["llm_backbone"]["llm.model.embed_tokens.weight"]
    files.model["llm_backbone"]["llm.model.embed_tokens.weight"] = embedding[:-64].clone()
    files.store()
    said = problems(lambda: convert_files(files, tmp_path / "converted"))
    assert f"has {len(embedding) - 64} rows" in said
    assert f"makes {len(embedding)}" in said


class Bomb:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, ("exploded",)


def test_pickled_objects_are_refused_unrun(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = files.source / "checkpoints" / "latest-checkpoint.pt"
    torch.save({"model": files.model, "extra": Bomb()}, path)
    said = problems(lambda: convert_files(files, tmp_path / "converted"))
    assert str(path) in said
    assert "contains Python objects" in said
    assert not (tmp_path / "exploded").exists()


def test_entries_beside_the_weights_are_named(tmp_path: Path, files: Files) -> None:
    path = files.source / "checkpoints" / "latest-checkpoint.pt"
    torch.save({"model": {**files.model, "downsampler": {}}, "epoch": 1}, path)
    assert "epoch" in convert_files(files, tmp_path / "converted").unused


def test_weights_of_open_clip_leave_out_the_text_tower(tmp_path: Path) -> None:
    files = prismatic_files.make(tmp_path, "siglip-vit-so400m")
    other = {f"visual.trunk.{name}": tensor for name, tensor in files.timm.items()}
    path = tmp_path / "open_clip_model.safetensors"
    save_file({**other, "logit_scale": torch.ones(1)}, path)
    done = convert(
        files.source, tmp_path / "converted", encoder=str(path), tokenizer=str(files.tokenizer)
    )
    assert done.unused["logit_scale"] == "not of the vision tower"


# -- what is asked for ------------------------------------------------------------------------


def test_all_of_a_config_that_is_not_converted_is_named(tmp_path: Path, files: Files) -> None:
    path = files.source / "config.json"
    config = json.loads(path.read_text())
    config["model"] |= {"vision_backbone_id": "dinosiglip-vit-so-384px", "arch_specifier": "linear"}
    config["model"]["model_id"] = "../../x\nbackend: openai"
    path.write_text(json.dumps(config))
    said = problems(lambda: convert_files(files, tmp_path / "converted"))
    assert "dinosiglip-vit-so-384px" in said
    assert "linear" in said
    assert "model_id" in said


def test_absent_weights_come_with_the_command_that_fetches_them(
    tmp_path: Path, files: Files
) -> None:
    tokenizer = str(files.tokenizer)
    said = problems(lambda: convert(files.source, tmp_path / "converted", tokenizer=tokenizer))
    assert "hf download timm/vit_large_patch14_clip_224.openai" in said


def test_a_filled_folder_and_anothers_yaml_are_left_alone(tmp_path: Path, files: Files) -> None:
    convert_files(files, tmp_path / "converted")
    assert "not empty" in problems(lambda: convert_files(files, tmp_path / "converted"))
    assert "another checkpoint" in problems(lambda: convert_files(files, tmp_path / "again"))
    assert not (tmp_path / "again").exists()


def test_the_command_converts_and_accounts(tmp_path: Path, files: Files) -> None:
    said = vlmbench(
        "convert", "prismatic", files.source, tmp_path / "converted",
        "--encoder", files.encoder, "--llm-tokenizer", files.tokenizer,
    )  # fmt: skip
    assert "80 tensors written" in said.words
    assert "2 left out" in said.words
    assert (tmp_path / "clip-224px+7b.yaml").is_file()
