"""The commands of `vlmbench`. Heavy rooms are imported inside them, so that help is instant."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import vlmbench

app = typer.Typer(
    name="vlmbench",
    help="Measure how much worse a vision-language model answers than a direct readout of its "
    "own vision encoder, on the same documents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Build or list procedural data.", no_args_is_help=True)
organisms_app = typer.Typer(
    help="Train the tiny models that ship with vlmbench, or check one against its gate.",
    no_args_is_help=True,
)
app.add_typer(data_app, name="data")
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


Models = Annotated[
    str, typer.Option("--models", "-m", help="Names, globs, tags or YAML paths, comma-separated.")
]
Tasks = Annotated[
    str,
    typer.Option(
        "--tasks", "-t", help="Names, globs, groups, tags or YAML paths, comma-separated."
    ),
]
Study = Annotated[str, typer.Option(help="Which conditions and readouts.")]
Limit = Annotated[int | None, typer.Option(min=1, help="First documents of every task only.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of fitted probes and resampling.")]
Include = Annotated[
    list[Path] | None,
    typer.Option("--include-path", "-i", help="Further folders of YAML; may be repeated."),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the run.")]
Data = Annotated[Path | None, typer.Option("--data-root", help="Where procedural data is kept.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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
    limit: Limit = None,
    output: Output = None,
    device: Annotated[str, typer.Option(help="auto, cuda[:N], mps, xpu or cpu.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    batch_size: Annotated[
        str, typer.Option(help="Documents a forward pass: auto or a number.")
    ] = "auto",
    seed: Seed = 0,
    include_path: Include = None,
    data_root: Data = None,
) -> None:
    """Run models on tasks, print the table, and write the run."""
    from vlmbench.cli import _run

    _run.run(
        _run.Request(models, tasks, study, limit, seed, tuple(include_path or ()), data_root),
        output=output,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
    )


@app.command()
def plan(
    models: Models,
    tasks: Tasks,
    study: Study = "gap",
    limit: Limit = None,
    output: Output = None,
    seed: Seed = 0,
    include_path: Include = None,
    data_root: Data = None,
    json: Json = False,
) -> None:
    """Show what would run, at what cost, and what is already there; loads no model."""
    from vlmbench.cli import _run

    request = _run.Request(models, tasks, study, limit, seed, tuple(include_path or ()), data_root)
    _run.plan(request, output=output, as_json=json)


@app.command()
def ls(
    what: Kind,
    include_path: Include = None,
    json: Json = False,
) -> None:
    """List what there is."""
    from vlmbench.cli import _catalogue

    _catalogue.ls(what.value, tuple(include_path or ()), as_json=json)


@app.command()
def show(
    name: str,
    index: Annotated[int, typer.Option(min=0, help="Which document of a task to show.")] = 0,
    output: Annotated[Path, typer.Option(help="Where a task's images are written.")] = Path(),
    include_path: Include = None,
    data_root: Data = None,
) -> None:
    """Show a resolved spec; for a task also one rendered prompt, with its images as PNG."""
    from vlmbench.cli import _catalogue

    _catalogue.show(name, index, output, tuple(include_path or ()), data_root)


@app.command()
def validate(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="YAML files or folders; all there is by default.")
    ] = None,
    include_path: Include = None,
) -> None:
    """Check YAML and print every error of every file."""
    from vlmbench.cli import _catalogue

    _catalogue.validate(tuple(paths or ()), tuple(include_path or ()))


@app.command()
def init(
    what: Starter,
    name: str,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = Path(),
) -> None:
    """Write a commented starter YAML that validates."""
    from vlmbench.cli import _catalogue

    _catalogue.init(what.value, name, output)


@app.command()
def leaderboard(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("leaderboard"),
) -> None:
    """Publish runs as one leaderboard: README.md and machine-readable rows."""
    from vlmbench import report

    for path in report.leaderboard(runs, output):
        typer.echo(str(path))


@data_app.command("build")
def data_build(
    tasks: Annotated[list[str] | None, typer.Argument(help="Tasks; all by default.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Also write Parquet that other harnesses can load."),
    ] = None,
    include_path: Include = None,
    data_root: Data = None,
) -> None:
    """Build procedural data, once."""
    from vlmbench.cli import _data

    _data.build(tuple(tasks or ()), output, tuple(include_path or ()), data_root)


@data_app.command("ls")
def data_ls(
    tasks: Annotated[list[str] | None, typer.Argument(help="Tasks; all by default.")] = None,
    include_path: Include = None,
    data_root: Data = None,
    json: Json = False,
) -> None:
    """List procedural data with fingerprints."""
    from vlmbench.cli import _data

    _data.ls(tuple(tasks or ()), tuple(include_path or ()), data_root, as_json=json)


def main() -> None:
    """Run the command line; bad input ends with every problem on stderr and status 1."""
    try:
        app()
    except Exception as error:
        from vlmbench.types import VlmbenchError  # brings numpy, which `--help` need not wait for

        if not isinstance(error, VlmbenchError):
            raise
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        count = len(error.problems)
        typer.echo(f"{count} error{'s' if count > 1 else ''}", err=True)
        sys.exit(1)
