"""MMMU in the hub's own layout, as tiny as it can be, and a task of a user's."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vlmbench.models import Prompt, Reply
from vlmbench.spec import GenerationKwargs, ModelSpec

USER_TASK = """\
task: pick
tag: picks
dataset_path: json
dataset_kwargs: {data_files: {test: data/pick.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "<image>\\n{{ question }} ({{ options | join(', ') }})"
doc_to_image: picture
doc_to_choice: options
doc_to_target: answer
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
metadata:
  version: 1.0
  vlmbench: {ability: picking, id_column: id}
"""
GENERATE = """\
include: pick.yaml
task: pick_generate
output_type: generate_until
generation_kwargs: {until: ["zzz"], max_gen_toks: 48}
filter_list:
  - name: letter
    filter: [{function: regex, regex_pattern: "([SMbe])"}, {function: take_first}]
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
BLIND = """\
include: pick.yaml
task: pick_blind
metadata: {vlmbench: {condition: {image: blank}}}
"""
GROUP = "group: all_picks\ntask: [pick, pick_generate]\n"


def noise(seed: int, side: int = 32) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, llava_folder: Path) -> Path:
    """A user's folder: a task in both forms with images beside it, and a model YAML."""
    folder = tmp_path_factory.mktemp("harness")
    (folder / "data").mkdir()
    lines = []
    for index in range(10):
        noise(index).save(folder / "data" / f"{index}.png")
        options = ["S", "M", "b", "e"][: 2 + index % 3]  # letters that noise does write
        lines.append(
            {
                "id": f"doc{index}", "picture": f"{index}.png", "options": options,
                "question": f"Which of these is number {index}?", "answer": index % len(options),
            }
        )  # fmt: skip
    (folder / "data" / "pick.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for name, text in (
        ("pick", USER_TASK), ("pick_generate", GENERATE), ("pick_blind", BLIND), ("all", GROUP),
    ):  # fmt: skip
        (folder / f"{name}.yaml").write_text(text)
    (folder / "random.yaml").write_text(f"model: random\ncheckpoint: {llava_folder}\n")
    return folder


@pytest.fixture(scope="session", autouse=True)
def no_survey() -> Iterator[None]:
    """Keep lm-eval from surveying the machine after every evaluation, which takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lm_eval.evaluator.add_env_info", lambda storage: None)
        yield


def png(image: Image.Image) -> dict[str, object]:
    """Return an image as Parquet files keep it."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def _mmmu_row(index: int, **changes: object) -> dict[str, object]:
    """Return a row with MMMU's columns and nestings: options are a list written as text."""
    row: dict[str, object] = {
        "id": f"validation_Art_{index + 1}",
        "question": f"<image 1> Which of these is number {index}?",
        "options": str(["one", "two", "three", "four"][: 2 + index % 3]),
        "explanation": "",
        **{f"image_{place}": None for place in range(1, 8)},
        "img_type": "['Paintings']",
        "answer": "AB"[index % 2],
        "topic_difficulty": "Easy",
        "question_type": "multiple-choice",
        "subfield": "Drawing",
    }
    return row | {"image_1": png(noise(100 + index))} | changes


# Test modules cannot import a conftest under importlib mode; they take these as fixtures.
@pytest.fixture
def mmmu_row() -> Callable[..., dict[str, object]]:
    return _mmmu_row


@pytest.fixture
def image_cell() -> Callable[[int], dict[str, object]]:
    return lambda seed: png(noise(seed))


@dataclass
class ScriptedBackend:
    """Likelihoods follow from the picture's first pixel; text from `say`, given the question."""

    say: Callable[[str], str] = lambda question: ""
    spec: ModelSpec = field(default_factory=lambda: ModelSpec(model="scripted", checkpoint="x"))
    weights_digest: str = "0" * 64
    asked: list[Prompt] = field(default_factory=list)
    followed: list[list[str]] = field(default_factory=list)
    kwargs: list[GenerationKwargs] = field(default_factory=list)

    def render(self, prompt: Prompt) -> str:
        return f"[{prompt.system}]{prompt.user}>>"

    def continuation(self, choice: str, delimiter: str) -> str:
        return choice

    def choice_logprobs(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]]
    ) -> list[NDArray[np.float64]]:
        self.asked += prompts
        self.followed += [list(row) for row in choices]
        return [
            -np.arange(1.0, len(row) + 1) - (p.images[0].getpixel((0, 0))[0] if p.images else 0)
            for p, row in zip(prompts, choices, strict=True)
        ]

    def generate(self, prompts: Sequence[Prompt], kwargs: GenerationKwargs) -> list[Reply]:
        self.asked += prompts
        self.kwargs.append(kwargs)
        return [Reply(text=self.say(prompt.user)) for prompt in prompts]


@pytest.fixture(scope="session")
def scripted() -> type[ScriptedBackend]:
    return ScriptedBackend


@pytest.fixture
def write_mmmu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Return what writes rows to where a downloaded MMMU would be looked for."""

    def write(rows: list[dict[str, object]]) -> Path:
        folder = tmp_path / "published" / "MMMU" / "MMMU"
        (folder / "Art").mkdir(parents=True)
        features = datasets.Features(
            {
                name: datasets.Image() if name.startswith("image_") else datasets.Value("string")
                for name in rows[0]
            }
        )
        data = datasets.Dataset.from_list(rows, features=features)
        data.to_parquet(folder / "Art" / "validation-00000-of-00001.parquet")
        (folder / "README.md").write_text(
            "---\nconfigs:\n- config_name: Art\n  data_files:\n  - split: validation\n"
            "    path: Art/validation-*\n---\n"
        )
        monkeypatch.setenv("VLMBENCH_DATA", str(tmp_path / "published"))
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
        return folder

    return write
