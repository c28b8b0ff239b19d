"""`vlmbench run --models FOLDER`, no YAML: every family reaches its table."""

from __future__ import annotations

import json
import shutil

import pytest
from home import Home, stats_of, vlmbench
from tiny_checkpoints import FAMILIES, folder_of

from vlmbench.spec import load_file
from vlmbench.types import VlmbenchError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
HERE = [tiny for tiny in FAMILIES if not tiny.torchvision]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    home = Home(tmp_path_factory.mktemp("home"))
    home.pairs("matching", 4, (64, 48))
    return home


@pytest.mark.parametrize(
    ("name", "encoder"),
    [(tiny.name, [1.0] if tiny.projector else []) for tiny in HERE],
    ids=[tiny.name for tiny in HERE],
)
def test_a_folder_runs_without_yaml(home, name, encoder):
    task = home.folder / "matching.yaml"
    run = home.run(str(folder_of(name)), str(task), output=f"run-{name}")
    found = stats_of(run, "condition", "readout", "metric")
    assert found["own", "prompted", "accuracy"]["n"] == 4
    assert [found[key]["value"] for key in found if key == ("own", "encoder", "accuracy")] == (
        encoder
    )


def test_init_and_show(home):
    folder = folder_of("internvl")
    shown = vlmbench("show", folder).words
    assert "final_norm" in shown
    assert "vision_feature_layer" in shown
    vlmbench("init", "model", folder, "--output", home.folder / "yaml")
    written = load_file(home.folder / "yaml" / "internvl.yaml")
    assert written.spec.twin.layer == "final_norm"
    assert (written.folder / written.spec.checkpoint).resolve() == folder.resolve()
    again = vlmbench("init", "model", folder, "--output", home.folder / "yaml", status=1)
    assert "this file already exists" in again.words


def test_without_torchvision_the_error_names_what_to_install(tmp_path):
    """Mistral 3 has no Pillow image processor; its files alone must give the message."""
    from transformers.utils import is_torchvision_available

    assert not is_torchvision_available(), "this test is about an environment without it"
    folder = tmp_path / "mistral"
    shutil.copytree(folder_of("llava"), folder)
    settings = json.loads((folder / "processor_config.json").read_text())
    settings["processor_class"] = "PixtralProcessor"
    (folder / "processor_config.json").write_text(json.dumps(settings))
    from vlmbench.models._processor import load_processor

    with pytest.raises(VlmbenchError, match=r"vlmbench-gap\[vision\]"):
        load_processor(str(folder), None)
