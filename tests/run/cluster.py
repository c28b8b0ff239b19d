"""A Ray cluster of this machine, and a backend that writes down what its engines do."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from home import ROOT

from vlmbench.run._ray import QUIET

BACKEND = '''
"""The `hf` backend; it writes down every batch, and a prompt with "poison" kills its process."""

import os
import time
from pathlib import Path

import ray

from vlmbench.models import HfBackend


def node():
    return ray.get_runtime_context().get_node_id() if ray.is_initialized() else "here"


class Noting(HfBackend):
    def choice_logprobs(self, prompts, choices):
        here = Path(__file__).parent
        with (here / "log").open("a") as log:
            log.write(f"{node()} {len(prompts)}\\n")
        if any("poison" in prompt.user for prompt in prompts):
            os._exit(1)
        time.sleep(float((here / "pace").read_text()))
        return super().choice_logprobs(prompts, choices)
'''


class Noted:
    """What engines with the backend `noting` have done.

    Args:
        folder: Where the backend is installed.
    """

    def __init__(self, folder: Path) -> None:
        self._log, self._pace = folder / "log", folder / "pace"
        files = {
            "noting.py": BACKEND,
            "noting-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: noting\nVersion: 1.0\n",
            "noting-1.0.dist-info/entry_points.txt": "[vlmbench.backends]\nnoting=noting:Noting\n",
        }
        for name, text in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        self.begin()

    def begin(self, pace: float = 0.1) -> None:
        """Forget what was done; every batch takes so many seconds from now on."""
        self._log.unlink(missing_ok=True)
        self._pace.write_text(str(pace))

    def by_node(self) -> Counter[str]:
        """Return how many documents were put through models, by the node that did it."""
        done: Counter[str] = Counter()
        for line in self._log.read_text().splitlines() if self._log.exists() else ():
            name, documents = line.split()
            done[name] += int(documents)
        return done


@contextmanager
def started(folder: Path) -> Iterator[tuple[Any, Noted]]:
    """Give a cluster whose first node runs no models, and what its engines note, for a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        paths = [str(folder), str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        for name, value in (QUIET | {"RAY_AUTH_MODE": "disabled"}).items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster  # which reads them

        noted = Noted(folder)
        cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
        )
        try:
            yield cluster, noted
        finally:
            cluster.shutdown()
            sys.modules.pop("noting", None)
