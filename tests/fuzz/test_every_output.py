"""One run whose every text is hostile, through every command: text stays text in each format.

An output of that run is held against the same output of a run with harmless texts. Its reader must
find the same structure in both, and in the first every text that it finds in the second. The pages
in Chromium are looked at in `tests/report/site/test_browser.py`; the Croissant description of a
world holds no text of strangers.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import readers
from home import vlmbench
from hostile_run import MODEL, TASK, Made, harmless, hostile, made
from readers import Read

from vlmbench.cli._progress import reporting
from vlmbench.cli._run import Request, _show
from vlmbench.store import RunFolder
from vlmbench.types import plain

Output = Callable[[Made, Path], dict[str, Read]]


def board(one: Made, place: Path) -> dict[str, Read]:
    vlmbench(
        "leaderboard", one.run, "--output", place, "--recorded", "paper",
        "--include-path", one.home.folder,
    )  # fmt: skip
    return readers.files(place)


def site(one: Made, place: Path) -> dict[str, Read]:
    vlmbench("report", one.run, "--output", place, "--include-path", one.home.folder)
    return readers.files(place)


def card(one: Made, place: Path) -> dict[str, Read]:
    said = vlmbench("explain", one.run, "--model", MODEL, "--output", place)
    return readers.files(place) | {"terminal": readers.terminal(said.out)}


def published(one: Made, place: Path) -> dict[str, Read]:
    said = vlmbench(
        "publish", one.run, "--organization", one.says("organization"), "--relationship", "other",
        "--dataset", "a/b", "--repository", f"{MODEL}=a/b", "--output", place,
    )  # fmt: skip
    return readers.files(place) | {"terminal": readers.terminal(said.out.replace(str(place), ""))}


def lists(one: Made, place: Path) -> dict[str, Read]:
    del place
    found = {}
    for what in ("models", "tasks"):
        said = vlmbench("ls", what, "--include-path", one.home.folder)
        found[what] = readers.terminal(said.out)
        said = vlmbench("ls", what, "--include-path", one.home.folder, "--json")
        found[f"{what}.json"] = readers.json_of(said.out)
    said = vlmbench("doctor", "--include-path", one.home.folder, "--json")
    return found | {"doctor.json": readers.json_of(said.out)}


def shown(one: Made, place: Path) -> dict[str, Read]:
    """What `show` says of the model, as YAML; a prompt may be of many lines."""
    said = vlmbench("show", MODEL, "--include-path", one.home.folder).out
    asked = vlmbench("show", TASK, "--include-path", one.home.folder, "--output", place).out
    model, _, rest = said.partition("\n\n")
    task, _, prompt = asked.partition("\n\n")
    return {
        "model.yaml": readers.yaml_of(model), "pixels": readers.terminal(rest),
        "task.yaml": readers.yaml_of(task), "prompt": Read((), (prompt,)),
    }  # fmt: skip


def ran(one: Made, place: Path) -> dict[str, Read]:
    """What a cheap rule's run prints and writes, and what that of the model would print."""
    said = vlmbench(
        "run", "--models", "rule-first-choice", "--tasks", TASK, "--include-path", one.home.folder,
        "--output", place, "--log-json",
    )  # fmt: skip
    out, log = io.StringIO(), io.StringIO()
    with redirect_stderr(log), reporting(log_json=True) as reporter:
        reporter.start(one.says("reason"), 0)
    request = Request(MODEL, TASK, "gap", None, 0, [one.home.folder], None)
    with redirect_stdout(out):
        _show(RunFolder(one.run).read(), request.plan(()))
    return readers.files(place) | {
        "terminal": readers.terminal(said.out.replace(str(place), "")),
        "log.json": readers.json_lines(log.getvalue()),
        "log of the run": readers.json_lines(said.err),
        "table": readers.terminal(out.getvalue()),
    }


def reproduced(one: Made, place: Path) -> dict[str, Read]:
    about = RunFolder(one.run).read()
    shutil.copytree(one.run, place / "run")
    manifest = about.manifest.model_copy(update={"study": "gap"})
    RunFolder(place / "run").finish(manifest, about.rows, {})
    said = vlmbench(
        "reproduce", f"{MODEL}/{TASK}", place / "run", "--include-path", one.home.folder,
        "--output", "again",
    )  # fmt: skip
    remarks, begins, command = said.out.partition("vlmbench run ")
    command = command.replace(str(one.home.folder), "")
    remarks = remarks.replace(str(one.home.folder), "")
    return {"remarks": readers.terminal(remarks), "command": readers.shell(begins + command)}


def listed_commands(one: Made, place: Path) -> dict[str, Read]:
    """The commands of a published page."""
    board(one, place)
    (lines,) = re.findall(r"```sh\n(.*?)\n```", (place / "README.md").read_text(), re.DOTALL)
    return {"command": readers.shell(lines)}


OUTPUTS: dict[str, Output] = {
    "leaderboard": board, "report": site, "explain": card, "publish": published, "show": shown,
    "ls and doctor": lists, "run": ran, "reproduce": reproduced, "commands": listed_commands,
}  # fmt: skip


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Made]:
    """A run of harmless texts, and one of hostile ones."""
    folder = tmp_path_factory.mktemp("both")
    return made(folder / "harmless", harmless), made(folder / "hostile", hostile)


def faults(harmless: dict[str, Read], hostile: dict[str, Read], both: tuple[Made, Made]) -> str:
    """Return what hostile texts did to an output besides being there; empty if nothing."""
    if harmless.keys() != hostile.keys():
        return f"other files: {harmless.keys() ^ hostile.keys()}"
    if not any(one.holds(text) for one in harmless.values() for text in both[0].places.values()):
        return "there is no text, of which nothing could be told"
    for name, before in harmless.items():
        after = hostile[name]
        if before.shape != after.shape:
            return f"{name} has another structure: {_first(before.shape, after.shape)}"
        if after.acts:
            return f"{name} shows what acts or hides: {ascii(after.acts)[:2_000]}"
        for place, text in both[0].places.items():
            if before.holds(text) and not after.holds(both[1].places[place]):
                return f"{name} has no longer the text of {place}"
    return ""


def _first(before: object, after: object) -> str:
    """Return where two structures part."""
    match before, after:
        case (list(), list()) if before and after:
            pairs = [*zip(before, after, strict=False), (len(before), len(after))]
        case (dict(), dict()) if before.keys() == after.keys():
            pairs = [(before[key], after[key]) for key in before]
        case _:
            return f"{before!r:.2000}, then {after!r:.2000}"
    return next(_first(*pair) for pair in pairs if pair[0] != pair[1])


@pytest.mark.parametrize("output", OUTPUTS)
def test_text_stays_text(
    output: str, both: tuple[Made, Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100000")  # a table leaves out what it has no room for
    pages = [OUTPUTS[output](one, tmp_path / str(i)) for i, one in enumerate(both)]
    assert faults(*pages, both) == ""


def test_an_error_shows_text_and_nothing_else(both: tuple[Made, Made]) -> None:
    said = vlmbench("reproduce", f"{MODEL}/{TASK}", both[1].run, status=1)
    assert "there is no study" in said.err
    assert "end of study." in said.err
    assert plain(said.err) == said.err


READ_LOGS = """\
import json, sys
from inspect_ai.log import list_eval_logs, read_eval_log
for folder in sys.argv[1:]:
    for info in list_eval_logs(folder):
        print("log", json.dumps(read_eval_log(info).model_dump(mode="json")).replace(folder, ""))
    print("end")
"""


def test_text_stays_text_in_logs_of_inspect(
    both: tuple[Made, Made], validator: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    for number, one in enumerate(both):
        command = ("-m", "vlmbench", "export", "inspect", one.run, "--output", number)
        status, said = validator(*command, folder=tmp_path)
        assert status == 0, said
    status, said = validator("-c", READ_LOGS, tmp_path / "0", tmp_path / "1", folder=tmp_path)
    assert status == 0, said
    logs = [
        sorted(line.removeprefix("log ") for line in part.split("\n") if line.startswith("log "))
        for part in said.split("\nend\n")[:2]
    ]
    assert len(logs[0]) == 4
    found = [{"logs": readers.json_lines("\n".join(lines), finite=False)} for lines in logs]
    assert faults(*found, both) == ""


def unescaped(one: Made, place: Path) -> dict[str, Read]:
    """A page whose maker trusts names."""
    del place
    return {"page": readers.markdown(f"| Model | n |\n|---|---|\n| {one.says('model')} | 40 |")}


def unquoted(one: Made, place: Path) -> dict[str, Read]:
    del place
    return {"rows": readers.table(f"model,value\n{one.says('model')},1")}


def raw(one: Made, place: Path) -> dict[str, Read]:
    del place
    return {"terminal": readers.terminal(" ".join(one.says("model").split("\n")))}


def lost(one: Made, place: Path) -> dict[str, Read]:
    del place
    return {"data": readers.data([one.says("model")[:40]])}


@pytest.mark.parametrize("output", [unescaped, unquoted, raw, lost])
def test_an_output_that_does_not_escape_is_found_out(
    output: Output, both: tuple[Made, Made], tmp_path: Path
) -> None:
    with pytest.raises((AssertionError, ValueError, csv.Error)):
        assert faults(*(output(one, tmp_path) for one in both), both) == ""
