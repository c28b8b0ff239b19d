"""Without a trained encoder, the rank of the encoders, and published numbers, on the page."""

from __future__ import annotations

import math
import re

import handmade
import pytest
from home import vlmbench
from scipy.stats import kendalltau

from vlmbench.metrics import StatRow
from vlmbench.registry import catalogue
from vlmbench.report import leaderboard
from vlmbench.store import RunFolder
from vlmbench.types import VlmbenchError


def row(model, task, readout, metric, value, half=0.05, condition="own"):
    return StatRow(
        model=model, task=task, condition=condition, readout=readout, metric=metric, value=value,
        low=value - half, high=min(value + half, 1.0), n=100, coverage=1.0,
    )  # fmt: skip


def write(folder, rows, *, rules=(), tasks=("art", "depth"), encoders=None):
    """A run folder holding exactly these rows; `encoders` are the digests of models' encoders."""
    models = {}
    for name in sorted({one.model for one in rows}):
        rule = {"rule": name} if name in rules else {"relation": "identical"}
        models[name] = handmade.model_record(
            **rule, encoder_weights=None if encoders is None else encoders[name]
        )
    about = handmade.manifest({name: handmade.task_record(name) for name in tasks}, models)
    RunFolder(folder).finish(about, rows, {})
    return folder


def page(tmp_path, rows, **more):
    recorded = more.pop("recorded", ())
    folder = write(tmp_path / "run", rows, **more)
    leaderboard([folder], tmp_path / "board", recorded=recorded)
    return (tmp_path / "board" / "README.md").read_text()


def section(text, title):
    """The tables below a heading, as rows of cells, and its text."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found is not None, f"no section {title!r}"
    blocks = [block for block in found[1].split("\n\n") if block.startswith("|")]
    split = lambda line: [cell.strip() for cell in line.strip("|").split("|")]
    tables = [[split(line) for line in block.splitlines()] for block in blocks]
    return tables, found[1]


BASELINES = [
    row("low", "depth", "rule", "accuracy", 0.52),
    row("order", "depth", "rule", "accuracy", 0.50),
    row("order", "art", "rule", "accuracy", 0.60),
    row("a", "depth", "encoder", "accuracy", 0.55, condition="own+random"),
    row("b", "depth", "encoder", "accuracy", 0.58, condition="own+random"),
    row("a", "art", "encoder", "accuracy", 0.62, condition="own+random"),
    row("a", "depth", "encoder", "accuracy", 0.66),
    row("b", "depth", "encoder", "accuracy", 0.70),
    row("a", "art", "encoder", "accuracy", 0.68),
]


def test_the_best_of_each_is_named_with_its_interval(tmp_path):
    (best, every), text = section(
        page(tmp_path, BASELINES, rules=("low", "order")), "What needs no trained encoder"
    )
    assert best[0] == [
        *("Task", "Chance", "Best cheap rule", "Random encoder", "Trained encoder"),
        "Clear of both",
    ]
    assert best[2:] == [
        ["art", ".500", "order .600 [.550, .650]", "a .620 [.570, .670]",
         "a .680 [.630, .730]", "no: rule, random encoder"],
        ["depth", ".500", "low .520 [.470, .570]", "b .580 [.530, .630]",
         "b .700 [.650, .750]", "yes"],
    ]  # fmt: skip
    assert every[0] == ["Task", "Chance", "low", "order"]
    assert every[2:] == [["art", ".500", "–", ".600"], ["depth", ".500", ".520", ".500"]]
    assert "chosen on these very documents" in text


def test_intervals_that_touch_are_not_clear(tmp_path):
    rows = [*BASELINES[:4], row("b", "depth", "encoder", "accuracy", 0.65)]
    (best, _), _ = section(
        page(tmp_path, rows, rules=("low", "order")), "What needs no trained encoder"
    )
    assert best[3][-1] == "no: random encoder"  # .55 + .05 against .65 - .05


def test_without_one_of_them_nothing_is_called_clear(tmp_path):
    (best,), _ = section(page(tmp_path, BASELINES[3:]), "What needs no trained encoder")
    assert [line[2] for line in best[2:]] == ["–", "–"]
    assert [line[-1] for line in best[2:]] == ["–", "–"]


def test_rules_are_no_models_of_the_other_tables(tmp_path, run_folder):
    folder = run_folder(models=("tiny-a", "tiny-b"))
    before = leaderboard([folder.write()], tmp_path / "before")[0].read_text()
    folder.rule("lower-point", "depth", 0.55)
    after = leaderboard([folder.write()], tmp_path / "after")[0].read_text()
    added = re.search(r"^## What needs no trained encoder\n.*?(?=^## )", after, re.M | re.S)[0]
    # Nothing else changes but the command that made it.
    rest = after.replace(added, "").replace("--models lower-point,tiny-a", "--models tiny-a")
    assert rest == before
    assert "lower point" in added


def test_a_run_of_rules_alone_makes_a_page(tmp_path, run_folder):
    folder = run_folder(models=())
    folder.rule("lower-point", "depth", 0.55)
    text = leaderboard([folder.write()], tmp_path / "board")[0].read_text()
    assert re.findall(r"^## (.*)", text, re.M) == [
        *("What needs no trained encoder", "How to read this", "How it was made")
    ]


def ranked(encoder, prompted, *, half=0.01, tasks=("art", "depth")):
    """Rows of models whose mean over the tasks is as given, and which differ on single tasks."""
    return [
        row(f"m{i}", task, readout, "accuracy_corrected", value + shift, half)
        for i in range(len(encoder))
        for readout, value in (("encoder", encoder[i]), ("prompted", prompted[i]))
        for task, shift in zip(tasks, (0.1, -0.1), strict=True)
    ]


def test_ranks_tau_and_intervals_are_those_computed_by_hand(tmp_path):
    encoder, prompted = [0.3, 0.6, 0.5, 0.4], [0.2, 0.0, 0.1, 0.3]
    (table,), text = section(page(tmp_path, ranked(encoder, prompted)), "Rank of the encoders")
    half = 0.01 / math.sqrt(2)  # two independent tasks
    assert table[2:] == [
        [f"m{i}", f".{encoder[i] * 1000:.0f} [.{(encoder[i] - half) * 1000:.0f}, "
         f".{(encoder[i] + half) * 1000:.0f}]", by_encoder, vqa, by_vqa]
        for i, by_encoder, vqa, by_vqa in (
            (1, "1", ".000 [-.007, .007]", "4"), (2, "2", ".100 [.093, .107]", "3"),
            (3, "3", ".300 [.293, .307]", "1"), (0, "4", ".200 [.193, .207]", "2"),
        )
    ]  # fmt: skip
    tau = kendalltau(encoder, prompted).statistic
    assert tau == pytest.approx(-2 / 3)
    assert "two orders: -.667" in text
    assert "share of 0.083 of all pairs" in text  # 2 / 4!
    assert text.count("clear throughout") == 2


def test_differences_within_intervals_are_told(tmp_path):
    text = page(tmp_path, ranked([0.3, 0.6, 0.31], [0.1, 0.2, 0.3], half=0.03))
    _, told = section(text, "Rank of the encoders")
    assert "by encoder: within their intervals: m2 and m0." in told
    assert "by VQA: clear throughout" in told


def test_controls_and_tasks_that_not_all_share_do_not_count(tmp_path):
    rows = ranked([0.3, 0.6, 0.5], [0.1, 0.2, 0.3])
    plain = page(tmp_path, rows)
    extra = [row("m0", "naming", readout, "accuracy_corrected", 0.99) for readout in READ_TWICE] + [
        row("m0", "odd", readout, "accuracy_corrected", 0.99) for readout in READ_TWICE
    ]
    (tmp_path / "more").mkdir()
    text = page(tmp_path / "more", rows + extra, tasks=("art", "depth", "naming", "odd"))
    assert section(text, "Rank of the encoders") == section(plain, "Rank of the encoders")


READ_TWICE = ("encoder", "prompted")


def test_encoders_are_ranked_on_the_mean_where_all_have_it(tmp_path):
    """m0 is best by its class token; by the mean of its patches it is last."""
    rows = ranked([0.9, 0.6, 0.5], [0.1, 0.2, 0.3])
    means = [
        row(f"m{i}", "art", "encoder-mean", "accuracy_corrected", value, 0.01)
        for i, value in enumerate([0.1, 0.6, 0.56])
    ]
    (table,), text = section(page(tmp_path, rows + means), "Rank of the encoders")
    assert [line[0] for line in table[2:]] == ["m1", "m2", "m0"]
    assert table[4][1].startswith(".450 ")  # 0.1 on art, 0.9 - 0.1 on depth
    assert "On art every encoder sums an image up by the mean" in text
    (tmp_path / "some").mkdir()
    (table,), text = section(page(tmp_path / "some", rows + means[:2]), "Rank of the encoders")
    assert [line[0] for line in table[2:]] == ["m0", "m1", "m2"]  # one of them lacks it
    assert "sums an image up" not in text


def test_every_way_of_reading_an_encoder_is_told(tmp_path):
    rows = [
        row("m0", "art", readout, "accuracy", value)
        for readout, value in (("prompted", 0.3), ("encoder", 0.8), ("encoder-mean", 0.4))
    ] + [row("m0", "art", "encoder-mean-prompted", "gap", 0.1)]
    (table,), _ = section(page(tmp_path, rows), "The encoder read in other ways")
    assert [line[2] for line in table[2:]] == ["encoder", "encoder-mean"]
    assert table[3][4:] == [".400 [.350, .450]", "+.100 [+.050, +.150]"]
    (tmp_path / "one").mkdir()
    assert "read in other ways" not in page(tmp_path / "one", rows[:2])


def test_two_models_are_no_order(tmp_path):
    assert "Rank of the encoders" not in page(tmp_path, ranked([0.3, 0.6], [0.1, 0.2]))


def test_models_with_one_encoder_are_not_ranked_by_it(tmp_path):
    """As of a model and of what it became by tuning its language model."""
    rows = ranked([0.6, 0.6, 0.6], [0.1, 0.2, 0.3])
    for digests, shown in (("111", False), ("122", False), ("123", True)):
        encoders = {f"m{i}": digest * 64 for i, digest in enumerate(digests)}
        text = page(tmp_path / digests, rows, encoders=encoders)
        assert ("Rank of the encoders" in text) == shown  # by weights: numbers may tie


def test_equal_answers_have_no_tau(tmp_path):
    _, text = section(
        page(tmp_path, ranked([0.3, 0.6, 0.5], [0.1, 0.1, 0.1])), "Rank of the encoders"
    )
    assert "two orders: –" in text


def test_published_numbers_need_no_data_and_stay_apart(tmp_path):
    paper = [model.spec for model in catalogue().select_models("fu2025")]
    text = page(tmp_path, BASELINES, rules=("low", "order"), recorded=paper)
    (table,), words = section(text, "Recorded elsewhere")
    assert len(table) == 2 + 4 * 6
    (line,) = [one for one in table if one[0] == "mochi" and "CLIP" in one[1]]
    assert line[2:] == ["2019", ".503", ".328", "–"]
    assert "arXiv 2506.08008" in words
    assert "fu2025" not in (tmp_path / "board" / "rows.json").read_text()


def test_models_without_published_numbers_are_refused_together(tmp_path):
    found = catalogue()
    specs = [model.spec for model in found.select_models("human,tiny-clip,fu2025-clip")]
    with pytest.raises(VlmbenchError) as caught:
        page(tmp_path, BASELINES, recorded=specs)
    people, model = caught.value.problems
    assert "are in the data" in people.message
    assert "vlmbench run --models human" in people.remedy
    assert "'tiny-clip' does not hold recorded numbers" in model.message
    assert not (tmp_path / "board").exists()


def test_the_command_takes_recorded_models_by_tag(tmp_path):
    folder = write(tmp_path / "run", BASELINES, rules=("low", "order"))
    vlmbench("leaderboard", folder, "-o", tmp_path / "out", "--recorded", "fu2025")
    assert "## Recorded elsewhere" in (tmp_path / "out" / "README.md").read_text()
