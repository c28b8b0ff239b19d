"""What the pages of a site are called."""

from __future__ import annotations

from urllib.parse import urlencode

from vlmbench.store import file_stem
from vlmbench.types import file_name


def task_page(task: str) -> str:
    """Return the file of a task's page."""
    return f"task-{file_name(task)}.html"


def model_page(model: str) -> str:
    """Return the file of a model's page."""
    return f"model-{file_stem(model)}.html"


def samples_page(task: str = "", model: str = "") -> str:
    """Return the address of the sample browser, at a task and model if given."""
    wanted = {"task": file_name(task) if task else "", "model": model}
    wanted = {key: name for key, name in wanted.items() if name}
    return f"samples.html#{urlencode(wanted)}" if wanted else "samples.html"
