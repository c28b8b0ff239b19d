"""Every family against transformers itself: one sample at a time, and hooks."""

from __future__ import annotations

from operator import attrgetter

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_checkpoints import FAMILIES, Tiny, backend_of
from transformers.utils import is_torchvision_available

from vlmbench.models import HfBackend, Prompt, Tower
from vlmbench.registry import family_of
from vlmbench.spec import GenerationKwargs, Twin
from vlmbench.types import VlmbenchError

# Noise of transformers' image processors under numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

HERE = [tiny for tiny in FAMILIES if is_torchvision_available() or not tiny.torchvision]
CHOICES = [[" A", " B"], [" red", " blue A or B?", " C"], [" nearer A", " B"], [" A or", " red B"]]


TWINNED = [tiny for tiny in HERE if tiny.projector]
NEEDS_AN_IMAGE = "paligemma"
CROSS_ATTENDS = "mllama"  # its images enter by cross-attention, not as tokens
CONVOLVES = "fast_vlm"


def over(families: list[Tiny], *but: str) -> pytest.MarkDecorator:
    """Run a test for each of the families, except those named."""
    kept = [tiny for tiny in families if tiny.name not in but]
    return pytest.mark.parametrize("tiny", kept, ids=lambda tiny: tiny.name)


@pytest.fixture(params=HERE, ids=lambda tiny: tiny.name)
def tiny(request) -> Tiny:
    return request.param


@pytest.fixture
def backend(tiny) -> HfBackend:
    return backend_of(tiny.name)


def asked(backend: HfBackend, shots: list[Image.Image]) -> list[Prompt]:
    """Prompts of mixed lengths with one, two, no and one image, as far as the family goes."""
    if backend.family.batches == "same_sizes":  # Perception LM: equally many tiles
        shots = [shot.resize((48, 32)) for shot in shots]
    prompts = [
        Prompt(user="<image>Which is nearer, A or B?", images=(shots[0],)),
        Prompt(user="<image> or <image>: red?", images=(shots[1], shots[2])),
        Prompt(user="<image>red?", images=(shots[3],)),
        Prompt(user="Which is nearer, red or blue? A, B or C?", images=()),
    ]
    return prompts if backend.family.text_only else prompts[:3]


def inputs_of(backend: HfBackend, prompt: Prompt, **more: str) -> dict[str, torch.Tensor]:
    """One sample as transformers has it; images a list in a list, as `apply_chat_template` does.

    A flat list is not the same: LLaVA-OneVision then takes two images for two samples, and cuts
    each into tiles.
    """
    text = backend.render(prompt)
    bos = backend.processor.tokenizer.bos_token
    inputs = backend.processor(
        text=[text],
        images=[list(prompt.images)] if prompt.images else None,
        add_special_tokens=not text.startswith(bos),
        return_tensors="pt",
        **more,
    )
    inputs.pop("labels", None)
    return dict(inputs.to(backend.model.dtype))  # Llama 4's pixels come in bfloat16


def reference(backend: HfBackend, prompt: Prompt, choice: str) -> float:
    """Likelihood by the shortest route: one sample, no cache, no padding."""
    ids = backend.processor.tokenizer.encode(choice, add_special_tokens=False)
    if backend.family.prefix_lm:
        inputs = inputs_of(backend, prompt, suffix=choice)
        inputs = {
            name: value[:, :-1] if value.ndim == 2 else value for name, value in inputs.items()
        }  # its processor ends answers with </s>
        assert inputs["input_ids"][0, -len(ids) :].tolist() == ids
    else:
        inputs = inputs_of(backend, prompt)
        tail = torch.tensor([ids])
        inputs["input_ids"] = torch.cat([inputs["input_ids"], tail], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        for name in ("token_type_ids", "mm_token_type_ids"):
            if name in inputs:
                inputs[name] = torch.cat([inputs[name], torch.zeros_like(tail)], dim=1)
        if "cross_attention_mask" in inputs:
            mask = inputs["cross_attention_mask"]
            inputs["cross_attention_mask"] = torch.cat([mask, *[mask[:, -1:]] * len(ids)], dim=1)
    with torch.no_grad():
        logprobs = backend.model(**inputs).logits[0].log_softmax(-1)
    start = inputs["input_ids"].shape[1] - len(ids)
    return sum(float(logprobs[start + i - 1, token]) for i, token in enumerate(ids))


def test_likelihoods_equal_a_plain_single_sample_forward(backend, shots):
    prompts = asked(backend, shots)
    got = backend.choice_logprobs(prompts, CHOICES[: len(prompts)])
    for prompt, choices, row in zip(prompts, CHOICES, got, strict=False):
        expected = [reference(backend, prompt, choice) for choice in choices]
        np.testing.assert_allclose(row, expected, atol=1e-5, rtol=0)


def test_a_batch_changes_no_likelihood(backend, shots):
    prompts = asked(backend, shots)
    together = backend.choice_logprobs(prompts, CHOICES[: len(prompts)])
    for prompt, choices, row in zip(prompts, CHOICES, together, strict=False):
        (alone,) = backend.choice_logprobs([prompt], [choices])
        np.testing.assert_allclose(row, alone, atol=1e-5, rtol=0)


def test_the_first_token_is_written_at_most_once(backend, shots):
    """By the template, the processor or the tokenizer, not by two of them."""
    prompt = asked(backend, shots)[0]
    batch = backend.inputs.encode([backend.render(prompt)], [prompt], side="right")
    tokenizer = backend.processor.tokenizer
    writes = tokenizer.encode("red")[0] == tokenizer.bos_token_id or backend.family.prefix_lm
    assert batch["input_ids"][0].tolist().count(tokenizer.bos_token_id) == int(writes)


def test_every_image_counts_and_a_blank_one_is_taken(backend, shots):
    if backend.family.batches == "same_sizes":
        shots = [shot.resize((48, 32)) for shot in shots]
    blank = Image.new("RGB", shots[1].size)
    pairs = [(shots[1], shots[2]), (blank, shots[2]), (shots[1], blank), (blank, blank)]
    prompts = [Prompt(user="<image> or <image>: red?", images=pair) for pair in pairs]
    rows = backend.choice_logprobs(prompts, [[" A", " B", " C"]] * 4)
    assert np.isfinite(rows).all()
    for first in range(4):
        for second in range(first):
            assert np.abs(rows[first] - rows[second]).max() > 1e-3


def test_generation_equals_transformers_generate(backend, shots):
    prompts = asked(backend, shots)
    got = backend.generate(prompts, GenerationKwargs(until=(), max_gen_toks=5))
    for prompt, reply in zip(prompts, got, strict=True):
        inputs = inputs_of(backend, prompt)
        output = backend.model.generate(**inputs, max_new_tokens=5, do_sample=False, pad_token_id=0)
        tail = output[0, inputs["input_ids"].shape[1] :]
        text = backend.processor.tokenizer.decode(tail, skip_special_tokens=True)
        assert reply.text == text.split("</s>")[0]


@over(HERE, NEEDS_AN_IMAGE)
def test_most_families_answer_without_an_image(backend):
    (row,) = backend.choice_logprobs([Prompt(user="red?", images=())], [[" A"]])
    assert np.isfinite(row).all()


def test_some_need_one():
    with pytest.raises(ValueError, match="images"):
        backend_of(NEEDS_AN_IMAGE).choice_logprobs([Prompt(user="red?", images=())], [[" A"]])


def projected_in(tiny: Tiny, backend: HfBackend, image: Image.Image) -> torch.Tensor:
    """What the projector is given for one image, a row a patch."""
    given = []
    module = attrgetter(tiny.projector)(backend.model)
    hook = module.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].detach()))
    with torch.no_grad():
        backend.model(**inputs_of(backend, Prompt(user="<image>red?", images=(image,))))
    hook.remove()
    states = given[0].permute(0, 2, 3, 1) if tiny.channels_first else given[0]
    return states.flatten(0, -2)


def twin_of(backend: HfBackend) -> Twin:
    twin = backend.spec.twin
    assert twin is not None
    return twin


@over([tiny for tiny in HERE if not tiny.projector])
def test_without_a_projector_there_is_no_twin_and_the_family_says_why(backend):
    assert backend.spec.twin is None
    assert family_of(backend.model.config.model_type).encoder


@over(TWINNED, CONVOLVES)
def test_a_twin_that_reads_another_state_is_refused(backend, shots):
    tower = Tower.inside(backend, twin_of(backend))
    square = shots[3].resize((tower.side, tower.side))
    own = tower.states([square], [tower.consumed]).patch_tokens
    refused = 0
    for layer in (*range(tower.n_layers + 1), "final_norm"):
        twin = tower.twin.model_copy(update={"layer": layer})
        other = Tower(tower.module, tower.image_processor, twin)
        if torch.equal(own, other.states([square], [other.consumed]).patch_tokens):
            continue  # the same number counted from the front, or a tower without a final norm
        with pytest.raises(VlmbenchError, match="the twin is refused"):
            Tower.inside(backend, twin)
        refused += 1
    assert refused >= tower.n_layers


@over(TWINNED)
def test_encoder_features_are_what_the_projector_is_given(tiny, backend, shots):
    tower = Tower.inside(backend, twin_of(backend))
    square = shown = shots[3].resize((tiny.enlarged * tower.side,) * 2)
    if tiny.enlarged > 1:  # the whole view comes last, scaled down by the processor
        pixels = backend.processor.image_processor(images=[shown], return_tensors="np")
        view = np.round((pixels["pixel_values"][0, -1] * 0.5 + 0.5) * 255).astype(np.uint8)
        square = Image.fromarray(view.transpose(1, 2, 0))
    states = tower.states([square], [tower.consumed]).patch_tokens[0, 0].flatten(0, 1)
    given = projected_in(tiny, backend, shown).reshape(-1, states.shape[1])
    nearest = torch.cdist(states, given, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
    assert nearest.values.max() < tiny.tolerance
    assert len(nearest.indices.unique()) == len(states) == (tower.side // tower.patch) ** 2


@over(TWINNED, CONVOLVES)
def test_the_grid_is_row_major(backend, shots):
    """Changing the pixels of one patch changes the embedding of that patch alone."""
    tower = Tower.inside(backend, twin_of(backend))
    square = np.asarray(shots[3].resize((tower.side, tower.side))).copy()
    changed = square.copy()
    patch = tower.patch
    changed[patch : 2 * patch, 3 * patch : 4 * patch] = 0  # row 1, column 3
    pictures = [Image.fromarray(square), Image.fromarray(changed)]
    tokens = tower.states(pictures, [0]).patch_tokens
    assert tokens.shape[2:4] == (tower.side // patch,) * 2
    difference = (tokens[0, 0] - tokens[1, 0]).abs().sum(-1)
    assert (difference > 1e-4).nonzero().tolist() == [[1, 3]]


@over(TWINNED)
def test_batches_of_squares_and_depth_layers(backend, shots):
    tower = Tower.inside(backend, twin_of(backend))
    squares = [shot.resize((tower.side, tower.side)) for shot in shots[:3]]
    layers = [0, tower.n_layers // 2, tower.consumed]
    together = tower.states(squares, layers).patch_tokens
    alone = tower.states(squares[2:], layers).patch_tokens
    torch.testing.assert_close(together[2:], alone, atol=1e-4, rtol=1e-4)
    assert tower.width == tower.states(squares, [tower.consumed]).patch_tokens.shape[-1]


@over(HERE, CROSS_ATTENDS)
def test_projected_tokens_sit_where_image_tokens_are(tiny, backend, shots):
    """The language model reads, at the located positions and in order, the projector's output."""
    prompt = asked(backend, shots)[1]
    batch = backend.inputs.encode([backend.render(prompt)], [prompt], side="right")
    seen = []
    module = attrgetter(tiny.language)(backend.model)

    def keep(_, args, kwargs):
        seen.append(kwargs["inputs_embeds"] if "inputs_embeds" in kwargs else args[0])

    hook = module.register_forward_pre_hook(keep, with_kwargs=True)
    with torch.no_grad():
        backend.model(**batch)
    hook.remove()
    positions = backend.inputs.image_positions(batch)
    with torch.no_grad():
        expected = projected_out(tiny, backend, batch)
    assert positions.sum() == len(expected) > 0
    torch.testing.assert_close(seen[0][positions], expected, atol=1e-4, rtol=1e-4)
    # A control that must fire: the positions next to them hold something else.
    assert not torch.allclose(seen[0][positions.roll(1, dims=1)], expected, atol=1e-3)


def test_images_that_are_no_tokens_have_one_place_each(shots):
    backend = backend_of(CROSS_ATTENDS)
    prompt = asked(backend, shots)[1]
    batch = backend.inputs.encode([backend.render(prompt)], [prompt], side="right")
    assert backend.inputs.image_positions(batch).sum() == 2


def projected_out(tiny: Tiny, backend: HfBackend, batch) -> torch.Tensor:
    """The projected image tokens of a batch in order, by the model's own function."""
    model = backend.model
    if tiny.name == "phi4_multimodal":  # it has no such function: the difference to plain text
        embed = model.model.embed_tokens_extend
        words = model.model.embed_tokens(batch["input_ids"])
        names = ("image_pixel_values", "image_sizes", "image_attention_mask")
        picture = {name: batch[name] for name in names}
        mixed = embed.image_embed(batch["input_ids"], words, **picture)
        return mixed[backend.inputs.image_positions(batch)]
    text = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
    pixels = {name: value for name, value in batch.items() if name not in text}
    inner = model if tiny.name == "llama4" else model.model
    if tiny.name == "granite4_vision":  # the first of its projections replaces the tokens
        found = inner.get_image_features(
            **pixels,
            vision_feature_select_strategy=model.config.vision_feature_select_strategy,
        ).deepstack_features
        return torch.cat(list(found[0][1]))
    for name in ("vision_feature_layer", "vision_feature_select_strategy"):
        if hasattr(model.config, name):
            pixels[name] = getattr(model.config, name)
    found = inner.get_image_features(**pixels)
    if tiny.name == "llama4":
        hidden = found.last_hidden_state
        return model.multi_modal_projector(hidden.reshape(-1, hidden.shape[-1]))
    found = found.pooler_output
    found = [found] if isinstance(found, torch.Tensor) else found
    return torch.cat([part.reshape(-1, part.shape[-1]) for part in found])


def test_half_precision_runs_and_is_near(tiny, backend, shots):
    """Every input that is a float follows the weights' format, and nothing else does."""
    half = backend_of(tiny.name, torch.bfloat16)
    prompts = asked(backend, shots)
    rows = half.choice_logprobs(prompts, CHOICES[: len(prompts)])
    exact = backend.choice_logprobs(prompts, CHOICES[: len(prompts)])
    for row, expected in zip(rows, exact, strict=True):
        assert np.abs(row - expected).max() < 0.1 * np.abs(expected).max() + 0.5


@over(TWINNED)
def test_features_of_a_tower_in_half_precision_are_in_single(tiny, shots):
    half = backend_of(tiny.name, torch.bfloat16)
    tower = Tower.inside(half, twin_of(half))
    square = shots[3].resize((tower.side, tower.side))
    assert tower.states([square], [tower.consumed]).patch_tokens.dtype == torch.float32


@over(TWINNED)
def test_random_weights_differ(backend, shots):
    tower = Tower.inside(backend, twin_of(backend))
    square = shots[3].resize((tower.side, tower.side))
    drawn = tower.randomised(1)
    assert drawn.weights_digest != tower.weights_digest
    own, other = (which.states([square], [tower.consumed]).patch_tokens for which in (tower, drawn))
    assert own.shape == other.shape
    assert (own - other).abs().max() > 1e-2
