"""Closed-form models through the whole study: every figure is known beforehand, and the name too.

What a seer is sure of: sigma(w) = p(brightest) at weight w of the image, the others sharing the
rest alike. All stated figures follow from it; see `expected`.
"""

from __future__ import annotations

import json
import math
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import corners
import numpy as np
import pytest

from vlmbench.cli import main
from vlmbench.diagnostics import TEST_NAMES
from vlmbench.models import Tower
from vlmbench.registry import _plugins
from vlmbench.report._explain import explain
from vlmbench.spec import Condition

pytestmark = pytest.mark.slow

N = 160
CLEAR = 0.7
CHANNEL = 0.75 * math.log(CLEAR / 0.1)
"""Sight at which a reader of the blue corner is the optimal one of that symmetric channel."""
MODELS = {
    "blind": {"sight": 0.0, "trust": 2.0, "lean": 0.5, "fused": False, "attention": 0.0},
    "oracle": {"sight": 6.0, "fused": True, "attention": 0.5},
    "follower": {"sight": 3.0, "trust": 10.0, "fused": True, "attention": 0.2},
    "channel": {"sight": CHANNEL, "channel": "blue", "fused": True, "attention": 0.5},
    "starved": {"sight": 3.0, "starved": True, "fused": True},
}
NAMES = {
    "blind": "visual neglect",
    "oracle": "uses its vision",
    "follower": "text dominance",
    "channel": "uses its vision",
    "starved": "budget collapse",
}
# In the order of TEST_NAMES: dependency, override, consistency, sensitivity, contribution,
# certainty, budget. Of a blind model's influence nothing can be lost, so that test stays open.
HOLDS = {
    "blind": (False, False, False, False, False, False, None),
    "oracle": (True,) * 7,
    "follower": (True, False, True, True, True, True, True),
    "channel": (True,) * 7,
    "starved": (True, True, True, True, True, True, False),
}
HINT_WORDS = {"weak": 14, "medium": 11, "strong": 13}
HINT_STRENGTH = {"weak": 1.0, "medium": 2.0, "strong": 4.0}
FILLERS = {0: 0, 64: 48, 256: 192, 1024: 768}
"""Words of a filler by its nominal tokens."""


def call(*arguments: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["vlmbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
    assert stopped.value.code == 0


@pytest.fixture(scope="module", autouse=True)
def installed():
    """Offer the two backends as an installed package does."""
    entries = EntryPoints(
        EntryPoint(name, f"corners:{target}", "vlmbench.backends")
        for name, target in (("open", "Open"), ("mute", "Mute"))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_plugins, "entry_points", lambda group: entries)
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home") / "corners"
    corners.write_tasks(folder, n=N)
    twin = corners.write_tower(folder)
    for name, weights in MODELS.items():
        corners.write_model(folder, name, weights, backend="open", twin=twin)
    small = MODELS["oracle"] | {"max_position_embeddings": 512}
    corners.write_model(folder, "mute", small, backend="mute")
    return folder


def run(home: Path, output: Path, models: str, tasks: str, *more: object) -> None:
    call(
        "run", "--models", models, "--tasks", tasks, "--study", "diagnose", "--include-path", home,
        "--output", output, "--device", "cpu", *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def output(home: Path) -> Path:
    folder = home.parent / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLMBENCH_CACHE", str(home.parent / "cache"))
        patch.setattr("vlmbench.cli._run.explain_all", lambda run, models: None)  # below, once
        run(home, folder, ",".join(MODELS), "corners")
    return folder


@pytest.fixture(scope="module")
def explained(output: Path):
    """Return each model's verdict and outcomes, explained when first asked for."""
    found: dict[str, object] = {}

    def get(model: str):
        if model not in found:
            (found[model],) = explain(output, model).tasks
        return found[model]

    return get


def sigma(model: str, weight: float = 1.0) -> float:
    return 1 / (1 + 3 * math.exp(-4 / 3 * MODELS[model]["sight"] * weight))


def shift(model: str, weight: float = 1.0) -> float:
    """Return the total variation between two images that are brightest in different corners."""
    p = sigma(model, weight)
    return p - (1 - p) / 3


def entropy(p: float) -> float:
    return -p * math.log2(p) - (1 - p) * math.log2((1 - p) / 3)


def slope(values: dict[int, float]) -> float:
    """Return the least-squares slope over log2 of the whole prompt's tokens."""
    x = [math.log2(corners.LENGTH + FILLERS[tokens]) for tokens in values]
    return float(np.polyfit(x, list(values.values()), 1)[0])


Figure = tuple[str, dict[str, object], float]


def expected(model: str) -> dict[str, list[Figure]]:
    """Return what theory says about a model, by test."""
    dependency, contribution, certainty = without_the_image(model)
    return {
        "dependency": [*dependency, *against_another_image(model)],
        "override": against_hints(model),
        "consistency": shared(model),
        "sensitivity": under_damage(model),
        "contribution": contribution,
        "certainty": certainty,
        "budget": [*within(model), *under_filler(model, "before"), *under_filler(model, "after")],
    }


def against_another_image(model: str) -> list[Figure]:
    """Of the images that others have, three in four are brightest in another corner."""
    sees = MODELS[model]["sight"] > 0
    return [
        ("numeric floor", {}, 1e-6),
        ("total variation", {"against": "swapped"}, 0.75 * shift(model) if sees else 0.0),
        ("flip rate", {"against": "swapped"}, 0.75 if sees else 0.0),
    ]


def accuracy(model: str) -> float:
    return CLEAR if model == "channel" else 1.0 if MODELS[model]["sight"] > 0 else 0.25


def without_the_image(model: str) -> tuple[list[Figure], list[Figure], list[Figure]]:
    """Tests 1, 5 and 6 against no image and a blank one, where seers give each choice 1/4.

    The image's own bits are log2 K less the residual; for the optimal reader of a channel they are
    the channel's mutual information, log2 K - H(noise). The text of a model that leans on (A) has
    bits of its own, negative ones, since every letter is right as often.
    """
    p, sees, noisy = sigma(model), MODELS[model]["sight"] > 0, model == "channel"
    lean = MODELS[model].get("lean", 0.0)
    guess = math.exp(lean) / (math.exp(lean) + 3)
    bits = (2 - entropy(CLEAR) if noisy else 2 + math.log2(p)) if sees else 0.0
    reduction = 2 - entropy(p) if sees else 0.0
    spoken = 2 + (lean / 4 - math.log(math.exp(lean) + 3)) / math.log(2)
    moved, right = p - 0.25 if sees else 0.0, accuracy(model)
    dependency, contribution, certainty = [], [], []
    for against in ("none", "blank"):
        at = {"against": against}
        # A tie of four answers is shared, so the answer moves by three quarters.
        dependency += [("total variation", at, moved), ("flip rate", at, 0.75 if sees else 0.0)]
        contribution += [
            ("usable information", at, bits),
            ("entropy reduction", at, reduction),
            ("usable information of the text", at, spoken),
            ("bits per image token", at, bits / corners.IMAGE_TOKENS),
        ]
        certainty += [
            ("share at least as certain", at, 1.0),
            ("change of confidence", at, moved),
            ("accuracy with image", at, right),
            ("accuracy without image", at, 0.25),
            ("change of accuracy", at, right - 0.25),
            ("calibration error without image", at, guess - 0.25),
        ]
        if not noisy:  # whose error is 0 exactly, where no interval of an absolute value reaches
            error = right - p if sees else guess - 0.25
            certainty.append(("calibration error with image", at, error))
    return dependency, contribution, certainty


def against_hints(model: str) -> list[Figure]:
    """log p(gold) / p(hinted) is the contrast's part less what the hint adds.

    A channel's symbol is gold in 7 of 10 documents and the hinted choice in 1; else it is neither,
    and the two are level. Hints are words too, which starve a model a little.
    """
    weights = MODELS[model]
    noisy, trust = model == "channel", weights.get("trust", 0.0)
    gap = 4 / 3 * weights["sight"] * (CLEAR - 0.1 if noisy else 1.0)
    share = 0.0 if trust else CLEAR + 0.1 if noisy else 1.0
    odds = {
        strength: gap * weight_under(model, words) - trust * HINT_STRENGTH[strength]
        for strength, words in HINT_WORDS.items()
    }
    odds["all"] = sum(odds.values()) / len(odds)
    found: list[Figure] = []
    for strength, value in odds.items():
        at = {"strength": strength, "of": "all"}
        found += [("share following the image", at, share), ("log-odds", at, value)]
    return found


def shared(model: str) -> list[Figure]:
    """Gaussian latents of known correlation, from the first layer on."""
    known = -corners.LATENTS / 2 * math.log2(1 - corners.CORRELATION**2)
    found: list[Figure] = [("accuracy of the language-model head", {}, accuracy(model))]
    for layer in range(corners.LAYERS + 1):
        value = known if MODELS[model]["fused"] and layer else 0.0
        found.append(("information", {"layer": layer}, value))
    return found


def under_damage(model: str) -> list[Figure]:
    """Strength 0 is exactly 0; a mask on the squares leaves the surround's part of contrasts."""
    left = 0.75 * corners.SURROUND[0] / corners.FULL
    effect = sigma(model) - sigma(model, left)
    found: list[Figure] = [("effect of a mask", {"where": "regions", "of": "TV"}, effect)]
    for by in ("mask", "crop", "colour", "blur", "noise"):
        found.append(("total variation", {"by": by, "strength": 0.0}, 0.0))
        if MODELS[model]["sight"] == 0:
            found.append(("area", {"by": by}, 0.0))
    return found


def weight_under(model: str, words: int) -> float:
    """Return the image's weight with so many words more."""
    starved = MODELS[model].get("starved", False)
    return corners.LENGTH / (corners.LENGTH + words) if starved else 1.0


def mass_under(model: str, words: int) -> float:
    """Return the attention on the image: fixed, or as uniform as tokens are many."""
    uniform = corners.IMAGE_TOKENS / (corners.LENGTH + words)
    return MODELS[model].get("attention", uniform)


def within(model: str) -> list[Figure]:
    """Attention without filler; the four squares are a quarter of the image."""
    mass = mass_under(model, 0)
    return [
        ("uniform share", {"group": "image"}, corners.IMAGE_TOKENS / corners.LENGTH),
        ("attention mass", {"group": "image", "layer": 2}, mass),
        ("attention mass", {"group": "regions", "layer": 2}, mass / 4),
    ]


def under_filler(model: str, place: str) -> list[Figure]:
    """Influence and attention by length, their slopes, and what is lost at the longest."""
    sees = MODELS[model]["sight"] > 0
    influence, mass = {}, {}
    found: list[Figure] = []
    for tokens, words in FILLERS.items():
        influence[tokens] = 0.75 * shift(model, weight_under(model, words)) if sees else 0.0
        mass[tokens] = mass_under(model, words)
        at = {"place": place, "tokens": tokens}
        found += [
            ("length of the prompt", at, corners.LENGTH + words),
            ("image mass", at, mass[tokens]),
            ("influence", at, influence[tokens]),
            ("accuracy", at, accuracy(model)),
        ]
    at = {"place": place}
    found += [
        ("slope of influence per doubling", at, slope(influence)),
        ("slope of image mass per doubling", at, slope(mass)),
    ]
    if sees:
        found.append(("share of influence lost", at, 1 - influence[1024] / influence[0]))
    return found


@pytest.mark.parametrize("model", MODELS)
def test_every_figure_reads_what_theory_says(explained, model):
    outcomes = {outcome.test: outcome for outcome in explained(model).outcomes}
    for test, figures in expected(model).items():
        assert figures
        for figure, at, value in figures:
            finding = outcomes[test].find(figure, **at)
            assert finding is not None, (test, figure, at)
            stat = finding.stat
            ends = [stat.value if math.isnan(end) else end for end in (stat.low, stat.high)]
            assert ends[0] - 1e-9 <= value <= ends[1] + 1e-9, (test, figure, at, value, stat)


@pytest.mark.parametrize("model", MODELS)
def test_every_test_holds_or_fails_as_it_should_and_the_verdict_is_right(explained, model):
    told = explained(model)
    held = {outcome.test: outcome.holds for outcome in told.outcomes}
    reasons = {outcome.test: outcome.reason for outcome in told.outcomes}
    assert held == dict(zip(TEST_NAMES, HOLDS[model], strict=True)), reasons
    assert told.verdict.name == NAMES[model], (told.verdict.rule, told.verdict.seen)
    # The encoder was read for real, and knows: no verdict here rests on its absence.
    assert told.accuracies.encoder.low > 0.6


@pytest.mark.parametrize("model", [model for model in MODELS if model != "blind"])
def test_a_seer_looks_at_the_squares_and_falls_by_degrees(explained, model):
    sensitivity = next(o for o in explained(model).outcomes if o.test == "sensitivity")
    assert sensitivity.find("grounding ratio", of="TV").stat.low > 1
    assert sensitivity.find("area", by="mask").stat.low > 0
    moved = [
        sensitivity.find("logit distance", by="mask", strength=strength).stat.value
        for strength in (0.0, 0.125, 0.25, 0.5, 0.75)
    ]
    assert moved[0] == 0
    assert moved == sorted(moved)


def test_the_optimal_reader_of_a_channel_is_calibrated(explained):
    certainty = next(o for o in explained("channel").outcomes if o.test == "certainty")
    error = certainty.find("calibration error with image", against="none").stat.value
    assert error == pytest.approx(0, abs=1e-9)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_explaining_and_running_again_load_nothing_and_change_no_byte(home, output, monkeypatch):
    def loads(*arguments, **options):
        raise AssertionError("a model was loaded")

    monkeypatch.setenv("VLMBENCH_CACHE", str(home.parent / "cache"))
    monkeypatch.setattr(corners.Mute, "load", loads)
    monkeypatch.setattr(Tower, "load", loads)
    before = contents(output)
    cards = home.parent / "cards"
    call("explain", output, "--model", "starved", "--output", cards)
    first = contents(cards)
    assert {"starved.md", "starved/outcomes.json"} <= set(first)
    said = json.loads(first["starved/outcomes.json"])["tasks"]["corners"]["verdict"]["name"]
    assert said == NAMES["starved"]
    call("explain", output, "--model", "starved", "--output", cards)
    assert contents(cards) == first
    assert contents(output) == before
    monkeypatch.setattr("vlmbench.cli._run.explain_all", lambda run, models: None)
    run(home, output, ",".join(MODELS), "corners")
    assert contents(output) == before


def test_what_cannot_be_is_left_out_with_its_reason_and_the_rest_runs(home, monkeypatch):
    monkeypatch.setattr("vlmbench.cli._run.explain_all", lambda run, models: None)
    folder = home.parent / "mute"
    run(home, folder, "mute", "bare", "--limit", 12)
    skipped = {
        (cell["readout"], cell["condition"]): cell["reason"]
        for cell in json.loads((folder / "manifest.json").read_text())["skipped"]
    }
    internals = {label for readout, label in skipped if readout == "internals"}
    assert {"own", "own+filler-64-before", "swapped+filler-1024-after"} <= internals
    assert all(
        "'mute' shows nothing of the inside" in skipped["internals", label] for label in internals
    )
    for label in ("evidence", "evidence-random"):
        assert "has no regions" in skipped["prompted", label]
    assert "names no twin" in skipped["encoder", "own"]
    assert {readout for readout, _ in skipped} == {"internals", "prompted", "encoder"}
    (task,) = explain(folder, "mute").tasks
    could = {outcome.test: bool(outcome.findings) for outcome in task.outcomes}
    assert could == {name: name not in ("consistency", "budget") for name in TEST_NAMES}


@pytest.mark.parametrize(("model", "longest"), [("oracle", 2048), ("mute", 512)])
def test_filler_longer_than_the_context_is_left_out(home, capsys, model, longest):
    labels = [f"own+filler-{tokens}-before" for tokens in (256, 1024, 4096)]
    call(
        "plan", "--models", model, "--tasks", "corners", "--study", "diagnose",
        "--include-path", home, "--conditions", ",".join(labels), "--json",
    )  # fmt: skip
    rows = json.loads(capsys.readouterr().out)
    prompted = [row["condition"] for row in rows if row["readout"] == "prompted"]
    assert prompted == labels[: 2 if longest == 2048 else 1]
    call(
        "plan", "--models", model, "--tasks", "corners", "--study", "diagnose",
        "--include-path", home, "--conditions", ",".join(labels),
    )  # fmt: skip
    assert f"takes {longest}" in " ".join(capsys.readouterr().out.split())


def test_the_study_as_planned_leaves_out_the_longest_filler_only(output):
    skipped = json.loads((output / "manifest.json").read_text())["skipped"]
    assert {Condition.parse(cell["condition"]).text.tokens for cell in skipped} == {4096}
    assert all("takes 2048" in cell["reason"] for cell in skipped)
    assert len(skipped) == 4 * len(MODELS)
