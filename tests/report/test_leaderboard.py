"""The published page: structure, determinism, and nothing that only looks like a number."""

from __future__ import annotations

import csv
import json
import re
import time
from dataclasses import replace

import pytest
from rich.console import Console

from vlmbench.metrics import load_rows
from vlmbench.report import leaderboard, terminal
from vlmbench.types import ComparisonError


def tables(text):
    """Every table as a list of rows of cells, headers first."""
    found = []
    for block in text.split("\n\n"):
        lines = block.splitlines()
        if lines and lines[0].startswith("|"):
            found.append([re.split(r"(?<!\\)\|", line)[1:-1] for line in lines])
    return [[[cell.strip() for cell in row] for row in table] for table in found]


def table_with(text, *heads):
    (table,) = [found for found in tables(text) if set(heads) <= set(found[0])]
    return table


def page(tmp_path, *folders):
    leaderboard([folder.write() for folder in folders], tmp_path / "board")
    return (tmp_path / "board" / "README.md").read_text()


def test_tables_are_well_formed_and_aligned(tmp_path, run_folder):
    folder = run_folder(models=("tiny-a", "tiny-b"))
    folder.manifest["tasks"]["depth"]["alias"] = "Depth | of *things*"
    text = page(tmp_path, folder)
    assert len(tables(text)) >= 8
    for table in tables(text):
        assert len({len(row) for row in table}) == 1
        assert len(table) >= 3
        assert all(re.fullmatch(":-+|-+:", cell) for cell in table[1])
    for block in (block for block in text.split("\n\n") if block.startswith("|")):
        assert len({len(line) for line in block.splitlines()}) == 1


def test_one_model_has_a_line_per_task(tmp_path, run_folder):
    text = page(tmp_path, run_folder())
    head, _, *lines = table_with(text, "Majority")
    assert head == [
        *("Task", "n", "Chance", "Majority", "Blind", "VQA", "Encoder", "Gap", "p"),
        *("Holm's p", "Least gap", "Abstained"),
    ]
    assert [line[0] for line in lines] == ["Depth", "Matching", "Naming"]
    assert lines[0][1:3] == ["120", ".500"]
    number = r"\d?\.\d{3} \[\d?\.\d{3}, \d?\.\d{3}\]"
    assert all(re.fullmatch(number, cell) for line in lines for cell in line[4:7])


def test_several_models_have_a_table_per_task_and_a_matrix_of_gaps(tmp_path, run_folder):
    text = page(tmp_path, run_folder(models=("tiny-b", "tiny-a")))
    _, _, *lines = table_with(text, "Model", "Depth", "Matching", "Naming")
    assert [line[0] for line in lines] == ["tiny-a", "tiny-b"]
    assert all(
        re.fullmatch(r"(\*\*)?[+-]\.\d{3}(\*\*)?", cell) for line in lines for cell in line[1:]
    )
    for task in ("Depth", "Matching", "Naming"):
        assert f"### {task}\n" in text
    assert "120 documents, chance .250, majority ." in text


SHOWN = [
    ("Majority", "Blind", ("blank", "prompted", "accuracy")),
    ("Majority", "VQA", ("own", "prompted", "accuracy")),
    ("Majority", "Encoder", ("own", "encoder", "accuracy")),
    ("Majority", "Gap", ("own", "encoder-prompted", "gap")),
    ("Majority", "Majority", ("own", "prompted", "majority")),
    ("Majority", "Abstained", ("own", "prompted", "abstention")),
    ("Blind encoder", "Blind", ("blank", "prompted", "accuracy")),
    ("Blind encoder", "Blind encoder", ("blank", "encoder", "accuracy")),
    ("Blind encoder", "Chance", ("own", "prompted", "chance")),
    ("VQA and blind", "VQA and blind", ("own|blank", "prompted", "tv")),
    ("VQA and blind", "VQA and truth", ("own|truth", "prompted", "tv")),
    ("VQA and blind", "Blind and truth", ("blank|truth", "prompted", "tv")),
    ("Corrected", "Blind", ("blank", "prompted", "accuracy_corrected")),
    ("Corrected", "VQA", ("own", "prompted", "accuracy_corrected")),
    ("Corrected", "Encoder", ("own", "encoder", "accuracy_corrected")),
    ("Corrected", "Gap", ("own", "encoder-prompted", "gap_corrected")),
]


@pytest.mark.parametrize(("table", "column", "key"), SHOWN)
def test_numbers_on_the_page_are_those_of_the_rows(tmp_path, run_folder, table, column, key):
    folder = run_folder(models=("tiny-a",), tasks=("matching",))
    text = page(tmp_path, folder)
    if table == "Corrected":
        (found,) = [t for t in tables(text) if t[0] == ["Task", "Blind", "VQA", "Encoder", "Gap"]]
    else:
        found = table_with(text, table)
    cell = dict(zip(found[0], found[2], strict=True))[column]
    (row,) = [r for r in folder.rows if (r.condition, r.readout, r.metric) == key]
    numbers = [float(part) for part in re.findall(r"[+-]?\d*\.\d+", cell)]
    bare = column in ("Majority", "Chance", "Abstained")
    expected = [row.value] if bare else [row.value, row.low, row.high]
    assert numbers == pytest.approx(expected, abs=5e-4)


def test_sections_follow(tmp_path, run_folder):
    text = page(tmp_path, run_folder())
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert titles == [
        *("tiny-a", "How to read this", "Chance-corrected", "Without the image"),
        *("How answers are distributed", "How it was made"),
    ]
    assert len(table_with(text, "VQA and blind")) == 5
    assert len(table_with(text, "Blind encoder")) == 5
    assert "vlmbench run --models tiny-a --tasks depth,matching,naming --study gap --seed 0" in text


def test_the_bytes_hang_on_nothing_but_the_numbers(tmp_path, run_folder):
    a, b = run_folder("a", ("tiny-a",)).write(), run_folder("b", ("tiny-b",)).write()
    first = leaderboard([a, b], tmp_path / "first")
    second = leaderboard([b, a, b], tmp_path / "deep" / "second")
    moved = a.rename(tmp_path / "elsewhere")
    third = leaderboard([b, moved], tmp_path / "third")
    for files in zip(first, second, third, strict=True):
        assert len({file.read_bytes() for file in files}) == 1
    text = first[0].read_text()
    assert str(tmp_path) not in text
    assert not re.search(r"\b20\d\d-\d\d", text)


def test_rows_are_written_for_machines_too(tmp_path, run_folder):
    folder = run_folder()
    text = page(tmp_path, folder)
    rows = load_rows((tmp_path / "board" / "rows.json").read_text())
    assert {row.key for row in rows} == {row.key for row in folder.rows}
    assert {len(row) for row in json.loads((tmp_path / "board" / "rows.json").read_text())} == {10}
    with (tmp_path / "board" / "rows.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["metric"] for line in lines] == [row.metric for row in rows]
    assert float(lines[0]["value"]) == rows[0].value
    assert sorted(path.name for path in (tmp_path / "board").iterdir()) == [
        *("README.md", "rows.csv", "rows.json", "runs.json")
    ]
    assert "(rows.json)" in text


def test_what_is_missing_is_a_dash_and_never_nan(tmp_path, run_folder):
    folder = run_folder()
    folder.rows = [
        row
        for row in folder.rows
        if not (row.task == "depth" and "encoder" in row.readout)
        and not (row.task == "naming" and row.condition.startswith("blank"))
    ]
    folder.record("human", "matching", 0.9)
    text = page(tmp_path, folder)
    assert not re.search(r"\bnan\b|\bnone\b|\binf\b", text.lower().replace("none in common", ""))
    depth = table_with(text, "Majority")[2]
    assert depth[6:9] == ["–", "–", "–"]


def test_recorded_numbers_stand_in_a_table_of_their_own(tmp_path, run_folder):
    for name, models in (("one", ("tiny-a",)), ("several", ("tiny-a", "tiny-b"))):
        folder = run_folder(name, models)
        folder.record("human", "matching", 0.9)
        text = page(tmp_path, folder)
        head, _, *lines = table_with(text, "Source", "Other")
        assert head == ["Task", "Source", "n", "Encoder", "VQA", "Other"]
        assert lines == [["Matching", "Humans", "–", "–", "–", ".900 (human)"]]
        holding = [table for table in tables(text) if "Humans" in str(table)]
        assert len(holding) == 1
        assert "**Not measured here.**" in text


def test_the_table_of_tasks_says_how_places_are_shown(tmp_path, run_folder):
    folder = run_folder()
    folder.manifest["tasks"]["depth"]["places"] = "draw"
    folder.manifest["tasks"]["matching"]["places"] = "text"
    head, _, *lines = table_with(page(tmp_path, folder), "Task", "Spec")
    column = head.index("Points and boxes")
    shown = {line[0].strip("`"): line[column] for line in lines}
    assert shown == {
        "depth": "drawn by vlmbench", "matching": "coordinates in the prompt", "naming": "–"
    }  # fmt: skip


def test_a_twin_that_saw_markers_or_is_another_is_marked(tmp_path, run_folder):
    folder = run_folder()
    clean = table_with(page(tmp_path, folder), "Majority")
    assert not re.search("[†‡§]", str(clean))
    folder.manifest["tasks"]["depth"]["marked"] = True
    folder.manifest["models"]["tiny-a"]["relation"] = "lineage"
    lines = table_with(page(tmp_path, folder), "Majority")[2:]
    assert "†‡ [" in lines[0][6]
    assert "‡ [" in lines[1][6]
    assert "†" not in lines[1][6]
    assert not any(re.search("[†‡]", cell) for line in lines for cell in (*line[:6], *line[7:]))


def test_failed_documents_are_marked_and_told(tmp_path, run_folder, rows_with_failures):
    folder = run_folder(tasks=("depth", "matching"))
    folder.rows = [
        *rows_with_failures("tiny-a", "depth", 7),
        *rows_with_failures("tiny-a", "matching", 0),
    ]
    text = page(tmp_path, folder)
    lines = table_with(text, "Majority")[2:]
    assert "§" in lines[0][6]
    assert "§" not in str(lines[1])
    assert "tiny-a on Depth (own, encoder): 7 of 120 documents failed." in text


@pytest.mark.parametrize(("mass", "low", "warned"), [(0.9, 0.7, False), (0.03, 0.01, True)])
def test_choices_that_a_model_would_not_write_are_told(tmp_path, run_folder, mass, low, warned):
    folder = run_folder(tasks=("depth",))
    folder.unlikely("tiny-a", "depth", mass, low)
    text = page(tmp_path, folder)
    told = "tiny-a on Depth (own, prompted): **the choices together have a probability of only .030"
    assert (told in text) == warned


def test_a_trial_run_says_so(tmp_path, run_folder):
    folder = run_folder()
    assert "a trial" not in page(tmp_path, folder)
    for record in folder.manifest["tasks"].values():
        record["limit"] = 120
    text = page(tmp_path, folder)
    assert "(`--limit 120`): a trial." in text
    assert "--seed 0 --limit 120" in text


def test_recorded_numbers_alone_make_a_page(tmp_path, run_folder):
    folder = run_folder(models=())
    folder.record("human", "depth", 0.9)
    text = page(tmp_path, folder)
    assert "## Recorded elsewhere" in text
    assert table_with(text, "Other")[2][-1] == ".900 (human)"
    assert "Results by task" not in text
    assert "Chance-corrected" not in text


def test_refused_runs_leave_what_was_published_alone(tmp_path, run_folder):
    a, b = run_folder("a", ("tiny-a",)), run_folder("b", ("tiny-b",))
    before = page(tmp_path, a)
    b.manifest["tasks"]["depth"]["documents"] = "0" * 64
    with pytest.raises(ComparisonError):
        page(tmp_path, a, b)
    assert (tmp_path / "board" / "README.md").read_text() == before


def test_written_answers_are_shown_with_and_without_what_is_unread(tmp_path, run_folder):
    folder = run_folder(tasks=("depth", "matching"))
    before = page(tmp_path, folder)
    assert "answered" not in before.replace("called **answered**", "")
    assert "¶" not in before
    folder.answer_in_writing("tiny-a", "depth", unread=60)
    text = page(tmp_path, folder)
    head, _, depth, matching = table_with(text, "Majority")
    assert head[-3:] == ["Abstained", "VQA, answered", "Gap, answered"]
    shown = dict(zip(head, depth, strict=True))
    found = {row.key[2:]: row for row in folder.rows if row.task == "depth"}
    for column, key in (
        ("VQA", ("own", "prompted", "accuracy")),
        ("VQA, answered", ("own", "prompted", "accuracy_answered")),
        ("Abstained", ("own", "prompted", "abstention")),
        ("Gap", ("own", "encoder-prompted", "gap")),
        ("Gap, answered", ("own", "encoder-prompted", "gap_answered")),
    ):
        number = float(re.match(r"[*]*([+-]?\d*\.\d+)", shown[column])[1])
        assert number == pytest.approx(found[key].value, abs=5e-4)
    assert matching[-2:] == ["–", "–"]
    assert "Blind, answered" in text


def test_gaps_that_disagree_are_marked_and_told(tmp_path, run_folder):
    folder = run_folder(models=("tiny-a", "tiny-b"), tasks=("depth", "matching"))
    folder.answer_in_writing("tiny-a", "depth", unread=60)  # as good as its encoder, half unread
    folder.answer_in_writing("tiny-b", "depth", unread=3)
    text = page(tmp_path, folder)
    _, _, *lines = table_with(text, "Model", "Depth", "Matching")
    assert re.fullmatch(r"\*\*\+\.4\d\d\*\*¶ / [+-]?\.0\d\d¶", lines[0][1])
    assert re.fullmatch(r"[+-]?\.0\d\d / [+-]?\.0\d\d", lines[1][1])
    assert "/" not in lines[0][2]
    (note,) = [line for line in text.splitlines() if line.startswith("> ¶")]
    assert "tiny-a on Depth: the gap is +.4" in note
    assert "among the 60 of 120 documents that were answered. **The two disagree.**" in note


def test_a_gap_of_nothing_but_unread_answers_is_told(tmp_path, run_folder):
    folder = run_folder(tasks=("depth",))
    folder.answer_in_writing("tiny-a", "depth", unread=120)
    text = page(tmp_path, folder)
    assert "none of 120 answers could be read. **The two disagree.**" in text
    cells = dict(zip(*table_with(text, "Majority")[::2], strict=True))
    assert (cells["VQA, answered"], cells["Gap, answered"]) == ("–", "–")
    assert "¶" in cells["Gap"]
    assert not re.search(r"\bnan\b", text.lower())


def test_the_page_says_how_answers_were_read(tmp_path, run_folder):
    folder = run_folder(tasks=("depth", "matching"))
    assert "## How answers were read" not in page(tmp_path, folder)
    folder.answer_in_writing("tiny-a", "depth", unread=0)
    text = page(tmp_path, folder)
    section = text.partition("## How answers were read")[2].partition("\n## ")[0]
    assert "- Depth: the choice that the reply declares (docs/answers.md) (`declared-1`)" in section
    assert "Matching" not in section
    folder.manifest["tasks"]["depth"]["answers"] = None
    assert "- Depth: another rule (`not recorded`)" in page(tmp_path, folder)


def test_the_gaps_parts_stand_in_the_order_of_the_signal_and_only_where_they_were_read(
    tmp_path, run_folder
):
    folder = run_folder()
    assert "Where the gap arises" not in page(tmp_path, folder)
    parts = {"lost_view": 0.05, "lost_projector": -0.1, "lost_language_head": 0.3}
    folder.rows += [
        replace(
            folder.rows[0], task="depth", condition="own", readout="a|b", metric=metric,
            value=value, low=value - 0.1, high=value + 0.1,
        )
        for metric, value in parts.items()
    ]  # fmt: skip
    head, _, line = table_with(page(tmp_path / "again", folder), "Language head")
    assert head == ["Task", "Model", "Gap", "Head", "View", "Projector", "Layers", "Language head"]
    assert line[3:] == [
        "–", "+.050 [-.050, +.150]", "-.100 [-.200, .000]", "–", "+.300 [+.200, +.400]",
    ]  # fmt: skip


def test_a_page_of_four_times_as_many_runs_takes_four_times_as_long(run_folder, tmp_path):
    """Quadratic code takes sixteen times as long."""
    folder = run_folder(models=("tiny-a",))
    rows, about = folder.rows, folder.manifest["models"]["tiny-a"]
    paths = []
    for number in range(160):
        name = f"tiny-{number}"
        folder.path, folder.rows = tmp_path / name, [replace(row, model=name) for row in rows]
        folder.manifest["models"] = {name: about}
        paths.append(folder.write())
    seconds = {}
    for count in (40, 160):
        began = time.process_time()
        leaderboard(paths[:count], tmp_path / "page")
        seconds[count] = time.process_time() - began
    assert seconds[160] < 8 * seconds[40]


def test_every_number_of_which_documents_failed_is_marked(tmp_path, run_folder, rows_with_failures):
    folder = run_folder(models=("tiny-a", "tiny-b", "tiny-c"), tasks=("depth", "matching"))
    kept = [row for row in folder.rows if (row.model, row.task) != ("tiny-a", "depth")]
    folder.rows = [*rows_with_failures("tiny-a", "depth", 100), *kept]
    text = page(tmp_path, folder)
    for head in (("VQA", "Encoder", "Gap", "Least gap"), ("Encoder", "VQA", "Rank by VQA")):
        for table in (found for found in tables(text) if set(head) <= set(found[0])):
            place = {name: at for at, name in enumerate(table[0])}
            for line in table[2:]:
                of_failed = line[0] == "tiny-a" and any("§" in cell for cell in line)
                for name in ("Encoder", "Gap", "Least gap"):
                    if name in place:
                        assert ("§" in line[place[name]]) == of_failed, (name, line)
                assert "§" not in line[place["VQA"]]
    (matrix,) = [found for found in tables(text) if found[0] == ["Model", "Depth", "Matching"]]
    assert "§" in matrix[2][1]
    assert "§" not in matrix[2][2] + matrix[3][1]
    (ranks,) = [found for found in tables(text) if "Rank by encoder" in found[0]]
    assert {line[0]: "§" in line[1] for line in ranks[2:]} == {
        "tiny-a": True, "tiny-b": False, "tiny-c": False,
    }  # fmt: skip
    rows = [row for row in folder.rows if row.model == "tiny-a" and row.task == "depth"]
    out = "".join(segment.text for segment in Console(width=160).render(terminal(rows)))
    (line,) = [line for line in out.splitlines() if line.startswith("  depth")]
    assert line.count("§") == 4  # n, encoder, gap, least gap
