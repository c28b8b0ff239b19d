"""Text of strangers on a published page, a card, a plot and the terminal is text and no more."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import handmade
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readers import markdown

from vlmbench.cli._printing import display
from vlmbench.metrics import StatRow, summarise
from vlmbench.report import leaderboard, terminal
from vlmbench.report._format import line_of
from vlmbench.report.cards import explain, on_console, write_card
from vlmbench.spec import Condition, Encoder, Prompted
from vlmbench.store import FailedCell, Run, RunFolder
from vlmbench.types import plain

HOSTILE = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</details><h1>x", "<!-- x", "-->",
    "](javascript:alert(1))", "![x](http://192.0.2.1/x.png)", "[x](javascript:alert(1))",
    "[x]: http://192.0.2.1", "<http://192.0.2.1>", "`", "``", "a`<b>c</b>`d", "`x`` <i>y</i>",
    "\\`<b>", "a|b|c", "a\\|b", "|", "\\", "\\\\", "x\\", "~~~", "```", "~~x~~",
    "```sh\nrm -rf ~\n```",
    "x\n# heading", "# heading", "- item", "+ item", "* item", "1. item", "27) item", "> quote",
    "---", "===", "x\n---", "| a |\n|---|\n| b |", "&lt;b&gt;", "&#60;b>", "**bold**", "*x*", "_x_",
    "__x__", "snake_case_", "$x$", "$\\frac{1}{2}$", "$(rm -rf ~); `id`", "'; id; '",
    "\u202eabc\u2066",
    "\x1b[2J\x1b]0;title\x07", "a\0b", "zero\u200bwidth\ufeff", "\ud800lone", "\x9b31m", "a\u2028b",
    "[/bold]", "[red]x[/red]", "{x} {{ y }} %s", "x" * 10_000, "|" * 10_000, "    code", "\tcode",
)  # fmt: skip
FRAGMENTS = st.sampled_from(HOSTILE[:-4]) | st.characters()
TEXTS = st.lists(FRAGMENTS, min_size=1, max_size=6).map("".join).filter(lambda text: text.strip())


def scores(
    accuracy: float, *, failed: int = 0, abstained: int = 0, seed: int = 0, scale: Any = "vote"
) -> Any:
    rng = np.random.default_rng(seed)
    gold = np.random.default_rng(9).integers(0, 2, 60)
    right = rng.random(60) < accuracy
    given = np.log(0.1 + 0.8 * np.eye(2)[np.where(right, gold, 1 - gold)])
    found = handmade.scored(given, gold, scale=scale)
    found.failed[:failed] = True
    found.abstained[10 : 10 + abstained] = True
    return found


def write(folder: Path, text: str) -> Path:
    """Write a run in which whatever may be text says `text`: one page shows all of its tables."""
    tasks = {
        name: handmade.task_record(
            ability=text, alias=text, source=text, cluster_by=text, clusters=30, answers=text,
            digest=text, data=text, chance=0.5, n=60,
        )
        for name in ("t1", "t2")
    }  # fmt: skip
    about = {
        "alias": text, "source": text, "twin": text, "weights": text, "relation": "finetuned",
        "unused_weights": (text,), "license": text, "checkpoint": text, "revision": text,
        "lora": text,
    }  # fmt: skip
    models = {f"m{number}": handmade.model_record(**about) for number in range(3)}
    models["rule"] = handmade.model_record(alias=text, rule="first")
    models["people"] = handmade.model_record(alias=text, recorded=True, source=text)
    rows = [row for model in ("m0", "m1", "m2") for task in tasks for row in _rows(model, task)]
    told = [
        FailedCell(model=row.model, task=row.task, condition="own", readout=row.readout,
                   reasons={text: 3})
        for row in rows if row.metric == "failed" and row.value
    ]  # fmt: skip
    written = handmade.manifest(
        tasks, models, study=text, platform=text, failed=tuple(told),
        versions=handmade.VERSIONS.model_copy(update={"vlmbench": text}),
    )  # fmt: skip
    label = line_of(text)[:300]
    read_as = StatRow(
        model="people", task="t1", condition="own", readout=label, metric="accuracy", value=0.5,
        low=0.4, high=0.6, n=9, coverage=1.0,
    )  # fmt: skip
    RunFolder(folder).finish(written, [*rows, read_as], {"results": text})
    return folder


@cache
def _harmless() -> list[Any]:
    """Return the tags of a page on which nothing could act."""
    with TemporaryDirectory() as folder:
        leaderboard([write(Path(folder, "run"), "harmless")], Path(folder, "page"))
        return markdown(Path(folder, "page", "README.md").read_text("utf-8")).shape


@cache
def _rows(model: str, task: str) -> list[Any]:
    seed = int(model[1:])
    own, encoder = Condition(), Encoder()
    cells = {
        (own, Prompted()): scores(0.6, abstained=5, seed=seed),
        (Condition.parse("blank"), Prompted()): scores(0.5, seed=seed + 3),
        (own, encoder): scores(0.9, failed=3, seed=seed + 6),
        (own, Encoder(pooling="mean")): scores(0.9, seed=seed + 9),
    }
    return summarise(cells, model=model, task=task, seed=0)


def differences(folder: Path, text: str) -> str:
    """Return what a text does to the page besides being written there; empty if nothing."""
    leaderboard([write(folder / "run", text)], folder / "page")
    page = markdown((folder / "page" / "README.md").read_text("utf-8"))
    if page.shape != _harmless():
        pairs = zip(page.shape, _harmless(), strict=False)
        return f"other tags: {next((pair for pair in pairs if pair[0] != pair[1]), 'more')}"
    words = "".join(page.texts)
    if " ".join(line_of(text).split()) not in " ".join(words.split()):
        return "the text is not there as it is"
    return "" if plain(words) == words else "what acts or hides is there"


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_page_shows_text_and_nothing_else(text: str, tmp_path: Path) -> None:
    assert differences(tmp_path, text) == ""


@settings(max_examples=15, deadline=None)
@given(text=TEXTS)
def test_a_page_shows_any_text(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert differences(tmp_path_factory.mktemp("page"), text) == ""


@pytest.mark.soak
@settings(max_examples=1_000, deadline=None)
@given(text=TEXTS)
def test_a_page_shows_a_thousand_texts(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert differences(tmp_path_factory.mktemp("page"), text) == ""


def test_a_command_on_the_page_is_one_line_and_quoted(tmp_path: Path) -> None:
    leaderboard([write(tmp_path / "run", "x\n```\n$(id); `id`")], tmp_path / "page")
    page = (tmp_path / "page" / "README.md").read_text("utf-8")
    (commands,) = re.findall(r"```sh\n(.*?)\n```", page, re.DOTALL)
    assert len(commands.splitlines()) == 1
    assert "--study 'x ``` $(id); `id`' --seed 0" in commands


def carded(folder: Path, text: str) -> Run:
    """Write a run with records from which a card is made, of a model with such an alias."""
    run = RunFolder(folder)
    cells = []
    for readout, label, accuracy in (
        ("prompted", "own", 0.6), ("prompted", "blank", 0.5), ("prompted", "none", 0.5),
        ("prompted", "own+single", 0.5), ("encoder", "own", 0.9),
    ):  # fmt: skip
        about = handmade.basis("m", "t", readout, label)
        held = scores(accuracy, seed=len(cells), scale="logprob")
        cells.append(handmade.write(run, about, held))
    about = handmade.manifest(
        {"t": handmade.task_record(alias=text)},
        {"m": handmade.model_record(alias=text, weights=text)},
        cells=tuple(cells), versions=handmade.VERSIONS.model_copy(update={"vlmbench": text}),
    )  # fmt: skip
    return run.finish(about, [], {})


def shown(what: Any) -> str:
    """Return what the terminal shows."""
    out = io.StringIO()
    with redirect_stdout(out):
        display(what)
    return out.getvalue()


@pytest.mark.parametrize("text", HOSTILE[::12], ids=ascii)
def test_a_card_and_its_plots_show_text_and_nothing_else(text: str, tmp_path: Path) -> None:
    tags = []
    for name, said in (("a", "harmless"), ("b", text)):
        explanation = explain(carded(tmp_path / name, said), "m")
        card = markdown(write_card(explanation, tmp_path / name / "card").read_text("utf-8"))
        tags.append(card.shape)
        words = "".join(card.texts)
        assert plain(words) == words
        on_terminal = shown(on_console(explanation))
        assert plain(on_terminal) == on_terminal
    assert tags[0] == tags[1]
    plot = ElementTree.parse(tmp_path / "b" / "card" / "m" / "summary.svg")
    parts = {element.tag.rpartition("}")[2] for element in plot.iter()}
    assert parts.isdisjoint({"script", "a", "image", "foreignObject", "text"})
    harmless = ElementTree.parse(tmp_path / "a" / "card" / "m" / "summary.svg")
    assert parts == {element.tag.rpartition("}")[2] for element in harmless.iter()}


SHOW: dict[str, Callable[[str], Any]] = {
    "aliases": lambda text: terminal(_rows("m0", "t"), aliases={"m0": text, "t": text}),
    "reasons": lambda text: terminal(
        _rows("m0", "t"),
        failed=[
            FailedCell(model="m0", task="t", condition="own", readout="encoder", reasons={text: 3})
        ],
    ),
    "prose": lambda text: text,
}


@pytest.mark.parametrize("what", SHOW)
def test_the_terminal_shows_what_would_act_on_it(what: str) -> None:
    for text in HOSTILE:
        out = shown(SHOW[what](text))
        assert plain(out) == out
    assert r"\x1b[2J" in shown(SHOW[what]("\x1b[2J"))


def test_files_of_a_run_hold_any_text_and_give_it_back(tmp_path: Path) -> None:
    for number, text in enumerate(HOSTILE[::5]):
        folder = write(tmp_path / str(number), text)
        assert json.loads((folder / "results.json").read_text("utf-8")) == {"results": text}
        assert RunFolder(folder).read().manifest.study == text
