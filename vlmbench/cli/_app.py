"""The commands of `vlmbench`. Heavy rooms are imported inside them, so that help is instant."""

from __future__ import annotations

import errno
import sys
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

import vlmbench
from vlmbench.cli._groups import convert_app, data_app, export_app, organisms_app
from vlmbench.cli._lm_eval_options import lm_eval
from vlmbench.cli._options import (
    AllowHost,
    AllowNetwork,
    BatchSize,
    Conditions,
    Data,
    Derive,
    Device,
    Dtype,
    Executor,
    Include,
    Json,
    Limit,
    LogJson,
    MaxFailed,
    Models,
    Output,
    Quiet,
    RayAddress,
    Seed,
    Shards,
    Study,
    Tasks,
    Where,
)
from vlmbench.cli._published import leaderboard, publish, reproduce
from vlmbench.cli._site_options import report, view

app = typer.Typer(
    name="vlmbench",
    help="Measure how much worse a vision-language model answers than a direct readout of its "
    "own vision encoder, on the same documents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")
app.add_typer(convert_app, name="convert")
app.add_typer(export_app, name="export")
app.add_typer(organisms_app, name="organisms")


class Kind(StrEnum):
    """What can be listed."""

    MODELS = "models"
    TASKS = "tasks"
    STUDIES = "studies"
    READOUTS = "readouts"
    BACKENDS = "backends"


class Starter(StrEnum):
    """What can be started from a template."""

    TASK = "task"
    MODEL = "model"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vlmbench {vlmbench.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    models: Models,
    tasks: Tasks,
    study: Study = "gap",
    conditions: Conditions = None,
    limit: Limit = None,
    output: Output = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch_size: BatchSize = "auto",
    seed: Seed = 0,
    *,
    derive: Derive = False,
    include_path: Include,
    allow_host: AllowHost,
    data_root: Data = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="How many models to run side by side, each on its share of the cores."
        ),
    ] = 1,
    max_failed: MaxFailed = "10%",
    executor: Where = Executor.LOCAL,
    ray_address: RayAddress = None,
    shards: Shards = None,
    allow_network: AllowNetwork = False,
    quiet: Quiet = False,
    log_json: LogJson = False,
) -> None:
    """Run models on tasks, print the table, and write the run.

    What is finished is kept as it comes: the same command goes on where an earlier one ended.
    """
    from vlmbench.cli import _run

    _run.run(
        _run.Request(
            models, tasks, study, limit, seed, include_path, data_root, conditions, derive
        ),
        _run.Options(
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            workers=workers,
            max_failed=max_failed,
            ray_address=None if executor is Executor.LOCAL else ray_address or "local",
            shards=shards,
        ),
        output=output,
        hosts=allow_host,
        allow_network=allow_network,
        shown=_run.Shown(quiet=quiet, log_json=log_json),
    )


@app.command()
def retry(
    run: Annotated[Path, typer.Argument(help="Folder of a run, finished or not.")],
    max_failed: Annotated[
        str | None, typer.Option(help="As for `run`; by default, what that was given.")
    ] = None,
    data_root: Data = None,
    ray_address: RayAddress = None,
    *,
    allow_host: AllowHost,
    allow_network: AllowNetwork = False,
    quiet: Quiet = False,
    log_json: LogJson = False,
) -> None:
    """Go on with a run as it was started, and run again the documents that failed in it.

    A folder may be somebody else's. So `--data-root`, the address of a cluster, and what `run` was
    allowed have to be given again.
    """
    from vlmbench.cli import _run

    _run.retry(
        run,
        max_failed=max_failed,
        data_root=data_root,
        ray_address=ray_address,
        hosts=allow_host,
        allow_network=allow_network,
        shown=_run.Shown(quiet=quiet, log_json=log_json),
    )


@app.command()
def plan(
    models: Models,
    tasks: Tasks,
    study: Study = "gap",
    conditions: Conditions = None,
    limit: Limit = None,
    output: Output = None,
    seed: Seed = 0,
    *,
    derive: Derive = False,
    include_path: Include,
    allow_host: AllowHost,
    data_root: Data = None,
    json: Json = False,
    executor: Where = Executor.LOCAL,
    shards: Shards = None,
    passes_per_second: Annotated[
        float | None,
        typer.Option(
            min=0.001, help="Forward passes a second of one engine, for the hours on Ray."
        ),
    ] = None,
) -> None:
    """Show what would run, what it costs and what is already there, without loading a model."""
    from vlmbench.cli import _run
    from vlmbench.cli._handed_out import HandedOut

    request = _run.Request(
        models, tasks, study, limit, seed, include_path, data_root, conditions, derive
    )
    on_ray = HandedOut(shards, passes_per_second) if executor is Executor.RAY else None
    _run.plan(request, output=output, as_json=json, hosts=allow_host, on_ray=on_ray)


@app.command()
def ls(what: Kind, *, include_path: Include, json: Json = False) -> None:
    """List models, tasks, studies, readouts or backends."""
    from vlmbench.cli import _ls

    _ls.ls(what.value, include_path, as_json=json)


@app.command()
def doctor(*, include_path: Include, data_root: Data = None, json: Json = False) -> None:
    """Say what is installed, on what models run, which data is there, and what to do.

    Exits with status 1 if something is wrong that every run needs.
    """
    from vlmbench.cli import _doctor

    _doctor.doctor(include_path, data_root, as_json=json)


@app.command()
def show(
    name: str,
    index: Annotated[int, typer.Option(min=0, help="Which document of a task to show.")] = 0,
    output: Annotated[Path, typer.Option(help="Folder for a task's images.")] = Path(),
    *,
    derive: Derive = False,
    include_path: Include,
    data_root: Data = None,
    allow_network: AllowNetwork = False,
) -> None:
    """Show a resolved spec. For a task, also render one prompt and write its images as PNG.

    For a model also which pixels it and its encoder are given. For a hub id or a folder with a
    checkpoint that no model's YAML names: every derived value, and where it came from.
    """
    from vlmbench.cli import _catalogue

    _catalogue.show(
        name, index, output, include_path, data_root, derive=derive, allow_network=allow_network
    )


@app.command()
def validate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="YAML files or folders; by default, everything on the search path.",
            default_factory=list,
            show_default=False,
        ),
    ],
    *,
    include_path: Include,
) -> None:
    """Check YAML files and print every error in them."""
    from vlmbench.cli import _catalogue

    _catalogue.validate(paths, include_path)


@app.command()
def init(
    what: Starter,
    name: str,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = Path(),
) -> None:
    """Write a commented YAML file: a starter, or what was derived from a checkpoint's files.

    For `init model`, NAME may be a hub id or a checkpoint folder.
    """
    from vlmbench.cli import _catalogue

    _catalogue.init(what.value, name, output)


@app.command()
def explain(
    run: Annotated[
        Path, typer.Argument(help="Folder of a run: of `diagnose`, or another study that measures.")
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="Name of a model of the run.")],
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks", "-t", help="Names of tasks, comma-separated; by default, all of them."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to write to; by default, RUN/diagnostics."),
    ] = None,
    rules: Annotated[
        Path | None, typer.Option(help="YAML of thresholds to use instead of the shipped ones.")
    ] = None,
) -> None:
    """Say whether a model uses its vision, on what evidence, and what would change the verdict.

    Recomputes everything from the run's records without loading a model, and writes a card.
    """
    from vlmbench.cli import _explain

    _explain.explain(run, model, tasks=tasks, output=output, rules=rules)


@app.command()
def annotate(
    task: str,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="JSONL file to write; by default, where the task looks for it."
        ),
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(min=0, max=1, help="Leave out documents that are less certain than this."),
    ] = 0.5,
    review: Annotated[
        Path | None,
        typer.Option(help="Folder for PNG sheets to check by eye, least certain first."),
    ] = None,
    *,
    include_path: Include,
    limit: Limit = None,
    allow_network: AllowNetwork = False,
) -> None:
    """Recover the points of a task from the ring markers drawn in its images.

    Exits with status 3 if any document was left out.
    """
    from vlmbench.cli import _annotate

    complete = _annotate.annotate(
        task,
        output=output,
        threshold=threshold,
        review=review,
        include_paths=include_path,
        limit=limit,
        allow_network=allow_network,
    )
    if not complete:
        raise typer.Exit(3)


app.command()(leaderboard)
app.command()(report)
app.command()(view)
app.command()(reproduce)
app.command()(publish)
app.command("lm-eval")(lm_eval)

# What the system says where a disk is full or cannot be written.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def main() -> None:
    """Run the command line; bad input ends with every problem on stderr and status 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a narrow one must not end a run at its table
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except Exception as error:
        # Brings numpy, which `--help` need not wait for.
        from vlmbench.types import Problem, VlmbenchError

        if isinstance(error, OSError) and error.errno in _FULL:
            from vlmbench.files import cannot_write

            error = VlmbenchError(cannot_write(error, Path(error.filename or ".")))
        elif isinstance(error, OSError) and error.filename:
            said = Problem(file=str(error.filename), message=error.strerror or str(error))
            error = VlmbenchError(said)
        if not isinstance(error, VlmbenchError):
            raise
        typer.echo(str(error), err=True)
        count = len(error.problems)
        typer.echo(f"{count} error{'s' if count > 1 else ''}", err=True)
        sys.exit(1)
