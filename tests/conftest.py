"""Fixtures that several rooms use: tiny models, pictures, Chromium, others' validators, and caches
apart from the user's.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Models are tiny and tests run side by side: more threads would only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nothing that the user keeps is read, and nothing is left with it.
os.environ["VLMBENCH_CACHE"] = tempfile.mkdtemp(prefix="vlmbench-tests-")
os.environ["HF_DATASETS_CACHE"] = os.environ["VLMBENCH_CACHE"] + "/datasets"
os.environ.pop("VLMBENCH_DATA", None)
os.environ.pop("VLMBENCH_PATH", None)

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pytest
from home import ROOT
from llava import make_llava
from PIL import Image

if TYPE_CHECKING:
    from vlmbench.models import HfBackend


def pytest_collection_finish() -> None:
    # Millions of objects of imported packages stay: no collection of garbage need look at them.
    gc.freeze()


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["VLMBENCH_CACHE"], ignore_errors=True)


# The same examples every time: a change that breaks a property must not pass by luck.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile("repeatable")

PACKAGES = Path(sys.prefix, "publish")
"""Where the validators are: they want other versions of what is installed, and do without."""


@pytest.fixture(scope="session")
def llava_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="session")
def backend(llava_folder: Path) -> HfBackend:
    """The random LLaVA, loaded; whoever changes it must put it back."""
    from vlmbench.models import HfBackend, resolve_device
    from vlmbench.spec import ModelSpec

    spec = ModelSpec(model="random", checkpoint=str(llava_folder))
    return HfBackend.load(spec, None, *resolve_device("cpu", "float32"))


@pytest.fixture(scope="session")
def tiny_clip() -> HfBackend:
    """The shipped model, loaded; whoever changes it must put it back."""
    from vlmbench.models import HfBackend, resolve_device
    from vlmbench.registry import catalogue

    (model,) = catalogue().select_models("tiny-clip")
    return HfBackend.load(model.spec, model.folder, *resolve_device("cpu", "float32"))


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(5)
    return [Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(8)]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Give Debian's Chromium, without a window and without a network."""
    found = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in found:
        pytest.skip("Debian's packages chromium and chromium-driver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(found[0])
    for switch in ("headless=new", "no-sandbox", "disable-gpu", "window-size=1300,900"):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=str(found[1]))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(30)
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium: Any) -> Any:
    """Give Chromium on an empty page, without what pages of other tests have complained of."""
    chromium.get("about:blank")
    chromium.get_log("browser")
    return chromium


@pytest.fixture(scope="session")
def with_validators() -> dict[str, str]:
    """Return the environment of a Python that finds this checkout and the validators of others."""
    assert (PACKAGES / "every_eval_ever").is_dir(), (
        "pip install --no-deps --ignore-requires-python --target "
        f"{PACKAGES} --requirement publish.lock"
    )
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(PACKAGES)])}


@pytest.fixture(scope="session")
def validator(with_validators: dict[str, str]) -> Callable[..., tuple[int, str]]:
    """Run Python that finds the validators; return its status and everything it printed."""

    def validate(*arguments: object, folder: Path) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-P", *map(str, arguments)],
            cwd=folder,
            env=with_validators,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    return validate
