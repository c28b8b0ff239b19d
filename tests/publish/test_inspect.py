"""Logs for inspect_ai, read back by inspect_ai itself."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from home import stats_of, vlmbench
from selenium.webdriver.support.ui import WebDriverWait

READ = """\
import json, sys
from inspect_ai.log import list_eval_logs, read_eval_log
found = {}
for info in list_eval_logs(sys.argv[1]):
    log = read_eval_log(info)
    found[log.eval.task_args["condition"]] = log.model_dump(mode="json")
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def logs(run, validator, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("logs")
    status, said = validator(
        "-m", "vlmbench", "export", "inspect", run, "--output", place / "logs", folder=place
    )
    assert status == 0, said
    assert "inspect view --log-dir" in said
    return place / "logs"


@pytest.fixture(scope="module")
def read(logs, validator):
    status, said = validator("-c", READ, logs, folder=logs)
    assert status == 0, said
    return json.loads(said.splitlines()[-1])


def test_there_is_a_log_for_each_condition(read):
    assert set(read) == {"own", "blank"}
    assert {log["status"] for log in read.values()} == {"success"}
    assert {log["eval"]["task"] for log in read.values()} == {"sight"}


def test_numbers_are_those_of_the_run_to_the_last_digit(run, read):
    rows = stats_of(run, "condition", "readout", "metric")
    for condition, log in read.items():
        for score in log["results"]["scores"]:
            for metric in score["metrics"].values():
                row = rows[condition, score["scorer"], metric["name"]]
                assert metric["value"] == row["value"]
                assert metric["metadata"]["low"] == row["low"]
                assert metric["metadata"]["high"] == row["high"]
    scores = {score["scorer"]: score for score in read["own"]["results"]["scores"]}
    assert scores["encoder-prompted"]["metrics"]["gap"]["value"] == 1.5 / 5


def test_what_failed_is_unscored_and_what_was_not_answered_earns_nothing(read):
    (scores,) = [s for s in read["own"]["results"]["scores"] if s["scorer"] == "prompted"]
    assert (scores["scored_samples"], scores["unscored_samples"]) == (5, 1)
    samples = {sample["id"]: sample["scores"] for sample in read["own"]["samples"]}
    failed, unread = samples["doc-5"]["prompted"], samples["doc-4"]["prompted"]
    assert failed["reason"] == "failed"
    assert failed["value"] != failed["value"] or failed["value"] in (None, "NaN")
    assert (unread["value"], unread["reason"], unread["answer"]) == (0, "abstained", None)
    assert samples["doc-3"]["prompted"]["value"] == 0.5
    assert samples["doc-3"]["prompted"]["answer"] == "A, B"
    assert samples["doc-5"]["encoder"]["value"] == 0


def test_a_sample_holds_what_was_asked_and_what_was_written(read):
    sample = read["own"]["samples"][0]
    (asked,) = sample["messages"]
    assert (asked["role"], asked["content"]) == ("user", "p0")
    assert sample["choices"] == ["A", "B"]


@pytest.fixture(scope="module")
def viewer(logs, with_validators):
    """Run `inspect view` on the logs; give its address."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-P", "-m", "inspect_ai", "view", "start", "--log-dir", logs]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    serving = subprocess.Popen(command, env=with_validators, cwd=logs, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(600):
            assert serving.poll() is None
            try:
                urlopen(address).close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        serving.terminate()
        serving.wait()


def shows(browser, *texts: str) -> bool:
    """Wait until a page shows texts, wherever they stand."""

    def there(browser) -> bool:
        lines = browser.find_element("tag name", "body").text.splitlines()
        return all(text in lines for text in texts)

    return WebDriverWait(browser, 30, ignored_exceptions=[Exception]).until(there)


def test_inspect_view_lists_the_logs_and_opens_one(browser, viewer):
    browser.get(viewer)
    assert shows(browser, "sight", "vlmbench/tiny", 'condition="own"', 'condition="blank"', "0.7")
    (link,) = browser.find_elements("css selector", "a[href$='tiny_sight_own.eval']")
    browser.get(link.get_attribute("href").replace("/tasks/", "/logs/"))
    assert shows(browser, "doc-3", "A, B", "0.5", "prompted, encoder", "6 Samples")


def test_inspect_view_shows_a_sample(browser, viewer):
    browser.get(f"{viewer}#/logs/tiny_sight_own.eval/samples/sample/doc-3/1/messages")
    assert shows(browser, "doc-3", "p3", "TARGET", "B", "A, B", "USER")
    browser.get("about:blank")  # an address that differs in its fragment alone loads nothing
    browser.get(f"{viewer}#/logs/tiny_sight_own.eval/samples/sample/doc-5/1/scoring")
    assert shows(browser, "A) A", "B) B", "it could not be run", "encoder")


SPOIL = """\
import json, sys
from zipfile_zstd import ZipFile
with ZipFile(sys.argv[1]) as old, ZipFile(sys.argv[2], "w") as new:
    for name in old.namelist():
        text = old.read(name)
        if name == "header.json":
            header = json.loads(text)
            del header["eval"]["dataset"]
            text = json.dumps(header).encode()
        new.writestr(name, text)
"""


def test_a_spoilt_log_is_refused(logs, validator, tmp_path):
    whole = next(logs.glob("*own.eval"))
    status, said = validator("-c", SPOIL, whole, tmp_path / whole.name, folder=tmp_path)
    assert status == 0, said
    status, said = validator("-c", READ, tmp_path, folder=tmp_path)
    assert status != 0
    assert "dataset" in said


def test_without_inspect_ai_the_error_names_the_extra(run, tmp_path):
    said = vlmbench("export", "inspect", run, "--output", tmp_path / "logs", status=1)
    assert "pip install 'vlmbench-gap[publish]'" in said.err
    assert not (tmp_path / "logs").exists()
