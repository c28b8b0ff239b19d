"""`vlmbench publish` and `vlmbench export inspect`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from vlmbench import publish as formats
from vlmbench import report
from vlmbench.cli._printing import say
from vlmbench.files import write_atomically
from vlmbench.store import Run, RunFolder
from vlmbench.types import Problem, VlmbenchError


def publish(
    runs: Sequence[Path],
    output: Path,
    *,
    organization: str,
    relationship: str,
    dataset: str,
    repositories: Sequence[str],
    upload: bool,
) -> None:
    """Write runs in the formats of others, and say or do what goes to the Hub."""
    read = [RunFolder(path).read() for path in runs]
    report.assemble(read)  # refuses runs that give different numbers for one row
    facts = formats.Facts(
        organization=organization,
        relationship=relationship,
        dataset=dataset,
        repositories=_named(repositories, read),
    )
    models = tuple(dict.fromkeys(model for run in read for model in formats.models_of(run)))
    hub = [formats.hub_files(read, model, facts) for model in models]
    files = [formats.every_eval_ever(run, facts, at=int(time.time())) for run in read]
    place = output / "every-eval-ever"
    for path, text in (item for found in files for item in found.items()):
        write_atomically(place / path, text)
        say(str(place / path))
    for one in hub:
        _write_hub(one, output / "hub" / one.repository)
    left_out = {name for run in read for name in run.manifest.models} - set(models)
    if left_out:
        say(f"Left out, because nothing was asked of a model: {', '.join(sorted(left_out))}")
    for one in hub:
        if upload:
            say(f"{one.repository}: proposed as {formats.upload(one)}")
        else:
            say(
                f"{one.repository}: nothing was sent. With --upload, {len(one.files)} files and "
                "the model index of its card would be proposed to it as a pull request"
            )


def _named(given: Sequence[str], runs: Sequence[Run]) -> dict[str, str]:
    """Return repositories by the model that each is given for."""
    found: dict[str, str] = {}
    for text in given:
        model, equals, repository = text.partition("=")
        if not equals or not any(model in run.manifest.models for run in runs):
            message = f"{text!r} does not name a model of the runs and its repository"
            remedy = "Give MODEL=ORGANIZATION/NAME."
            raise VlmbenchError(Problem(field="--repository", message=message, remedy=remedy))
        found[model] = repository
    return found


def _write_hub(published: formats.HubFiles, place: Path) -> None:
    """Write what a model's repository would be sent, and the table for its card."""
    metadata = yaml.safe_dump(dict(published.metadata), sort_keys=False, allow_unicode=True)
    files = {
        **published.files,
        "model-index.yaml": metadata,
        "snippet.md": published.snippet,
    }
    for name, text in files.items():
        write_atomically(place / name, text)
        say(str(place / name))


def export_inspect(run: Path, output: Path) -> None:
    """Write the logs of a run for inspect_ai, and say where they are."""
    for path in formats.export_inspect(RunFolder(run).read(), output, at=int(time.time())):
        say(str(path))
    say(f"Open them: inspect view --log-dir {output}")
