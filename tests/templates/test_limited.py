"""A function in a helper process: its values, its errors, its limits, and its end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vlmbench.templates import CallError, Limited


def failure(call: Limited, *arguments: object) -> CallError:
    with pytest.raises(CallError) as caught:
        call(*arguments)
    return caught.value


def test_values_and_errors_are_the_functions_own() -> None:
    divide = Limited("operator:truediv")
    assert divide(1, 4) == 0.25
    error = failure(divide, 1, 0)
    assert (error.kind, error.message, error.at_limit) == (
        "ZeroDivisionError", "division by zero", False,
    )  # fmt: skip
    assert Limited("builtins:dict")(a="\ud800") == {"a": "\ud800"}


def test_what_takes_too_long_is_stopped_and_the_next_call_is_served() -> None:
    power = Limited("operator:pow")
    assert power(2, 3) == 8
    began = time.monotonic()
    error = failure(power, 7, 10**9)
    assert time.monotonic() - began < 60  # 2 s of a processor that others use too
    assert error.at_limit
    assert "more than 2 s" in error.message
    assert power(2, 3) == 8


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")
def test_memory_and_results_have_limits() -> None:
    times = Limited("operator:mul")
    assert "512 MiB" in failure(times, b"x", 10**10).message
    assert "at most 4,000,000" in failure(times, b"x", 10**7).message
    assert times(b"x", 3) == b"xxx"


def test_threads_take_turns() -> None:
    add = Limited("operator:add")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(add, range(200), range(200))) == [2 * i for i in range(200)]


def test_a_fork_has_a_process_of_its_own() -> None:
    whoami = Limited("os:getpid")
    first = whoami()
    child = os.fork()
    if not child:
        os._exit(0 if whoami() != first else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert whoami() == first


def test_it_ends_with_whoever_asks() -> None:
    code = "from vlmbench.templates import Limited; print(Limited('os:getpid')())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    time.sleep(0.5)
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)
    assert done.stderr == ""


def test_no_module_of_the_folder_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "sys", "pickle", "vlmbench", "operator", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("open('hacked', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    assert Limited("operator:add")(1, 2) == 3
    assert not (tmp_path / "hacked").exists()
