"""Whatever a YAML file holds or is, it is read or refused in a few words, quickly, and alone."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from drawn import counted
from guard import REPOSITORY, Outcome, guarded
from hypothesis import strategies as st
from nasty_yaml import FILES, SPECIAL, VALUES, surroundings

from vlmbench.cli import main
from vlmbench.spec import load_files
from vlmbench.types import VlmbenchError

SHIPPED = sorted((REPOSITORY / "tasks").rglob("*.yaml")) + sorted(
    (REPOSITORY / "models").rglob("*.yaml")
)
BYTES = [b"\0", b"\xff", b"{", b"}", b"[", b"\t", b"\n", b": ", b"&a ", b"*a", b"<<: *a\n", b"!x "]
_PLACE = re.compile("'?(PLACE[0-9]+)'?")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("yaml")
    surroundings(made)
    return made


def command(*arguments: object) -> None:
    sys.argv = ["vlmbench", *map(str, arguments)]
    main()


def read(path: Path, folder: Path) -> Outcome:
    def call() -> int:
        loaded = load_files([path])
        if loaded.problems:
            raise VlmbenchError(loaded.problems)
        return len(loaded.specs)

    return guarded(call, folder=folder, readable=[Path("/dev/zero"), Path("/proc")], seconds=20.0)


@pytest.mark.parametrize("name", FILES)
def test_files_by_hand(name: str, folder: Path) -> None:
    path = folder / "it.yaml"
    path.write_bytes(FILES[name])
    outcome = read(path, folder)
    assert outcome.fault is None
    assert outcome.cpu < 2
    assert outcome.memory < 100 << 20


@pytest.mark.parametrize("name", SPECIAL)
def test_what_is_no_file_by_hand(name: str, folder: Path) -> None:
    path = folder / "special.yaml"
    SPECIAL[name](path)
    outcome = read(path, folder)
    path.rmdir() if name == "folder" else path.unlink()
    assert outcome.fault is None
    assert outcome.refused


def nodes(tree: object, above: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Return the keys of every value of a tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)  # type: ignore[arg-type]
    found = []
    for key, value in items:
        found.append((*above, key))
        if isinstance(value, dict | list):
            found += nodes(value, (*above, key))
    return found


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a shipped file with nasty values in some places, cut, doubled or spoilt."""
    tree = yaml.safe_load(draw(st.sampled_from(SHIPPED)).read_text())
    values = draw(st.lists(st.sampled_from([*VALUES.values()]), max_size=3))
    for number, _ in enumerate(values):
        *above, last = draw(st.sampled_from(nodes(tree)))
        holder = tree
        for key in above:
            holder = holder[key] if isinstance(holder, dict | list) else {}
        if isinstance(holder, dict) and draw(st.booleans()):
            holder[draw(st.sampled_from(["include", "condition", "probe", "study", "zzz"]))] = (
                f"PLACE{number}"
            )
        elif isinstance(holder, dict | list) and (isinstance(holder, dict) or last < len(holder)):
            holder[last] = f"PLACE{number}"
    text = yaml.safe_dump(tree, sort_keys=False, width=1_000_000)
    text = _PLACE.sub(lambda found: values[int(found[1][5:])], text)
    if draw(st.integers(0, 9)) == 0:
        lines = text.split("\n")
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(lines)))
        text = "\n".join(lines)
    data = text.encode()
    for spoilt in draw(st.lists(st.sampled_from(BYTES), max_size=1)):
        place = draw(st.integers(0, len(data)))
        data = data[:place] + spoilt + data[place:]
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data


def sound(outcome: Outcome) -> None:
    assert outcome.fault is None
    assert outcome.cpu < 2
    assert outcome.memory < 200 << 20


def fuzz(examples: int, folder: Path, *, validated: bool = False) -> Counter[str]:
    """Try so many files; return how many were accepted and refused."""
    path = folder / "it.yaml"

    def run(data: bytes) -> Outcome:
        path.write_bytes(data)
        if validated:
            return guarded(lambda: command("validate", path), folder=folder, seconds=20.0)
        return read(path, folder)

    return counted(mutated(), examples, run, sound)


def test_a_few_files(folder: Path) -> None:
    assert set(fuzz(60, folder)) == {"accepted", "refused"}


@pytest.mark.soak
def test_many_files(folder: Path) -> None:
    counts = fuzz(9_500, folder)
    sys.stdout.write(f"\n9,500 YAML files read: {dict(counts)}\n")
    assert min(counts["accepted"], counts["refused"]) > 300


@pytest.mark.soak
def test_many_files_are_validated(folder: Path) -> None:
    counts = fuzz(500, folder, validated=True)
    sys.stdout.write(f"\n500 YAML files validated: {dict(counts)}\n")


def test_a_folder_of_them_all_is_listed_in_seconds_and_every_file_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = folder / "hostile"
    hostile.mkdir()
    for number, make in enumerate(SPECIAL.values()):
        make(hostile / f"special{number}.yaml")
    small = {name: data for name, data in FILES.items() if len(data) < 100_000}
    for number, data in enumerate(small.values()):
        (hostile / f"{number}.yaml").write_bytes(data)
    monkeypatch.setenv("VLMBENCH_PATH", str(hostile))
    monkeypatch.chdir(hostile)  # names as short as they can be: a message names so many
    outcome = guarded(
        lambda: command("ls", "tasks"), folder=folder, readable=[Path("/dev/zero"), Path("/proc")],
        seconds=30.0,
    )  # fmt: skip
    assert outcome.fault is None
    assert outcome.refused
    assert outcome.cpu < 5
    named = set(re.findall(r"special\d", outcome.refused))
    assert len(named) == len(SPECIAL) - 1  # all but the folder, which is none of its files


def test_text_of_files_that_are_no_yaml_is_never_repeated(tmp_path: Path) -> None:
    secrets = [
        "root:$6$SECRET:19000:0:99999:7:::\n", "-----BEGIN KEY-----\nSECRET==\n", "SECRET: [SECRET",
        "API_KEY=SECRET\0TOKEN=SECRET", "*SECRET x", "&SECRET &SECRET x", "!SECRET! x", "@SECRET",
        "%SECRET a\n---\na: 1", '"\\q SECRET', "SECRET", "- SECRET", "2024-01-01", "a: b: SECRET",
        "a: &SECRET 1\nb: *SECRETS\n", "<<: SECRET\n",
    ]  # fmt: skip
    path = tmp_path / "task.yaml"
    path.write_text("include: outside\ntask: t\n")
    for secret in secrets:
        (tmp_path / "outside").write_text(secret)
        problems = load_files([path]).problems
        assert problems
        told = str(VlmbenchError(problems))
        assert "SECRET" not in told, secret
        assert "2024" not in told, secret


def test_environment_of_the_process_is_never_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "task.yaml"
    for file in ("/proc/self/environ", "/etc/passwd", "/proc/self/status"):
        path.write_text(f"include: {file}\ntask: t\n")
        told = str(VlmbenchError(load_files([path]).problems))
        assert file in told
        for word in (os.environ["PATH"], "root", "VmPeak"):
            assert word not in told
