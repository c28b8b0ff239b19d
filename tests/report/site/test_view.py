"""`vlmbench view`: on loopback alone, and following a run until it has ended."""

from __future__ import annotations

import http.client
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from home import ROOT
from sites import Asked, made

from vlmbench.report.site import Follower
from vlmbench.types import VlmbenchError

IDS = [f"doc-{i}" for i in range(6)]
CELLS = {
    "one": [
        Asked(condition="own", readout="prompted", answers=[0] * 6),
        Asked(condition="own", readout="encoder", answers=[0, 1, 0, 1, 0, 1]),
    ]
}


def test_a_run_in_progress_is_followed_to_its_end(tmp_path: Path) -> None:
    held = made(tmp_path, CELLS, ids=IDS)
    aside = tmp_path / "aside"
    shutil.move(held.run / "manifest.json", aside)
    second = held.run / "records" / "one" / "t" / "encoder-own.parquet"
    shutil.move(second, tmp_path / "second")
    output = tmp_path / "site"
    follower = Follower(held.run, output, held.data, most=100)
    assert not follower.update()
    page = (output / "index.html").read_text()
    assert "in progress" in page
    assert ".500" in page
    assert "encoder" not in page
    shutil.move(tmp_path / "second", second)
    assert not follower.update()
    assert "encoder" in (output / "index.html").read_text()
    assert (output / "data" / "t" / "page-0.js").is_file()
    shutil.move(aside, held.run / "manifest.json")
    assert follower.update()
    assert "in progress" not in (output / "index.html").read_text()
    assert (output / "task-t.html").is_file()


def test_documents_are_opened_once_however_often_a_run_has_more(tmp_path: Path) -> None:
    held = made(tmp_path, CELLS, ids=IDS)
    (held.run / "manifest.json").unlink()
    second = held.run / "records" / "one" / "t" / "encoder-own.parquet"
    shutil.move(second, tmp_path / "second")
    follower = Follower(held.run, tmp_path / "site", held.data, most=100)
    follower.update()
    (tmp_path / "data" / "t.jsonl").unlink()
    shutil.move(tmp_path / "second", second)
    follower.update()
    page = (tmp_path / "site" / "data" / "t" / "page-0.js").read_text()
    assert '"f":' in page, "images are shown"
    assert "encoder" in page


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(VlmbenchError, match="there is no such folder"):
        Follower(tmp_path / "none", tmp_path / "site", None, most=1)  # type: ignore[arg-type]


def _heeds_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background ignores them


def test_it_answers_on_loopback_to_its_own_name_alone(tmp_path: Path) -> None:
    held = made(tmp_path, CELLS, ids=IDS)
    command = [sys.executable, "-m", "vlmbench", "view", held.run, "--include-path", tmp_path]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=_heeds_interrupts,  # noqa: PLW1509
    ) as served:
        try:
            assert served.stdout is not None
            line = served.stdout.readline()
            (port,) = re.findall(r"http://127\.0\.0\.1:(\d+)/", line)
            for host, path, status in (
                (f"127.0.0.1:{port}", "/", 200), (f"localhost:{port}", "/samples.html", 200),
                (f"evil.example:{port}", "/", 403), (f"127.0.0.1:{port}", "/images/", 404),
                (f"127.0.0.1:{port}", "/../../etc/passwd", 404),
            ):  # fmt: skip
                asked = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
                asked.request("GET", path, headers={"Host": host})
                assert asked.getresponse().status == status, (host, path)
                asked.close()
        finally:
            served.send_signal(signal.SIGINT)
            deadline = time.monotonic() + 20
            while served.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
            served.kill()
    assert served.returncode == 0
