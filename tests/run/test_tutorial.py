"""The tutorial, word for word: its files, its commands, and what it says they print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from home import ROOT, Said, program, stats_of, vlmbench

TEXT = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
FILES = re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line
    for block in re.findall(r"^```console\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
TABLES = re.findall(r"^\| same_point \| (.*) \|$", TEXT, re.MULTILINE)
NUMBER = re.compile(r"[+-]?\d*\.\d+")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Said]]:
    """A folder in which everything has been done, and what every command said."""
    folder = tmp_path_factory.mktemp("tutorial")
    for name, content in FILES:
        (folder / name).write_text(content)
    said = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in COMMANDS:
            words = command.split()
            if words[0] == "vlmbench":
                said[command] = vlmbench(*words[1:])
            elif words[0] == "python":
                program(*words, folder=folder)
            else:
                assert words[:2] == ["pip", "install"], command
    return folder, said


def near(said: str, found: str) -> bool:
    """Tell whether two rows hold the same numbers: other processors turn a document or two."""
    one, other = ([float(n) for n in NUMBER.findall(text)] for text in (said, found))
    return len(one) == len(other) and one == pytest.approx(other, abs=0.05)


def test_the_published_tables_are_those_of_the_page(done: tuple[Path, dict[str, Said]]) -> None:
    folder, _ = done
    page = (folder / "leaderboard" / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| same_point \| (.*) \|$", page, re.MULTILINE)
    assert len(TABLES) == 2
    for told in TABLES:
        assert any(near(told, row) for row in rows), told


def test_the_line_of_the_run_and_the_sentences_about_it_hold(
    done: tuple[Path, dict[str, Said]],
) -> None:
    folder, said = done
    (told,) = re.findall(r"^same_point  (.*)$", TEXT, re.MULTILINE)
    (printed,) = (one.out for command, one in said.items() if "runs/model" in command.split()[-1:])
    (row,) = re.findall(r"^ *same_point +(\d.*)$", printed, re.MULTILINE)
    assert near(told, row)
    found = stats_of(folder / "runs" / "model", "metric", "readout", "condition")
    assert found["accuracy", "encoder", "own"]["value"] > 0.9
    blind = stats_of(folder / "runs" / "baselines", "metric", "readout", "condition")
    (told_blind,) = re.findall(r"reaches (\.\d+) on blank images", TEXT)
    assert blind["accuracy", "encoder", "blank"]["value"] == pytest.approx(
        float(told_blind), abs=0.05
    )


def test_every_page_of_the_site_is_there() -> None:
    names = re.findall(r"^ +- ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.M)
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert set(names) == pages
