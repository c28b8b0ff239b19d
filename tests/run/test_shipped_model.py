"""The shipped model on many documents of the shipped tasks: it sees, and blank images silence it.

`readouts/test_slides_to_chance.py` says so of every task on a few documents, and
`run/test_end_to_end.py` that batches change nothing, in `make test`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmbench.metrics import accuracy
from vlmbench.models import Tower
from vlmbench.readouts import read_encoder, read_prompted
from vlmbench.registry import catalogue
from vlmbench.spec import Condition
from vlmbench.tasks import apply_conditions, ask, load_documents

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("worlds")


def asked(name: str, data_root: Path, limit: int, condition: str = "own"):
    (task,) = catalogue().select_tasks(name)
    documents = load_documents(task, "reported", data_root, limit)
    shown = apply_conditions(list(documents), Condition(image=condition))
    return task.spec, ask(shown, task.spec, Condition())


def test_naming_is_known_and_not_known_blind(tiny_clip, data_root):
    spec, seeing = asked("naming", data_root, 150)
    seen = accuracy(read_prompted(seeing, spec, tiny_clip).scores)
    assert seen.low > 0.6
    _, unseeing = asked("naming", data_root, 150, "blank")
    blind = accuracy(read_prompted(unseeing, spec, tiny_clip).scores)
    assert blind.low <= 0.25 <= blind.high


@pytest.mark.parametrize("name", ["semantic_correspondence", "art_style", "object_3d"])
def test_blank_images_take_the_encoder_to_chance(tiny_clip, data_root, tmp_path, name):
    spec, unseeing = asked(name, data_root, 300, "blank")
    documents = [one.document for one in unseeing]
    tower = Tower.inside(tiny_clip, tiny_clip.spec.twin)
    reading = read_encoder(documents, spec.bench.probe, tower, {}, seed=0, cache=tmp_path)
    stat = accuracy(reading.scores)
    chance = 1 / len(documents[0].choices)
    assert stat.low <= chance <= stat.high


@pytest.mark.parametrize("name", ["naming", "semantic_correspondence"])
def test_batch_sizes_give_the_same_predictions(tiny_clip, data_root, name):
    spec, held = asked(name, data_root, 64)
    predictions = [
        read_prompted(held, spec, tiny_clip, batch_size=size).scores.scores.argmax(1)
        for size in (1, 8, 32)
    ]
    assert (predictions[0] == predictions[1]).all()
    assert (predictions[0] == predictions[2]).all()
