"""The commands of `vlmbench`. Heavy rooms are imported inside them, so that help is instant."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import vlmbench
from vlmbench.cli._groups import convert_app, data_app, organisms_app
from vlmbench.cli._options import (
    BatchSize,
    Conditions,
    Data,
    Derive,
    Device,
    Dtype,
    Include,
    Json,
    Limit,
    Models,
    Output,
    Seed,
    Study,
    Tasks,
)

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
    data_root: Data = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="How many models to run side by side, each on its share of the cores."
        ),
    ] = 1,
) -> None:
    """Run models on tasks, print the table, and write the run."""
    from vlmbench.cli import _run

    _run.run(
        _run.Request(
            models, tasks, study, limit, seed, include_path, data_root, conditions, derive
        ),
        output=output,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        workers=workers,
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
    data_root: Data = None,
    json: Json = False,
) -> None:
    """Show what would run, what it costs and what is already there, without loading a model."""
    from vlmbench.cli import _run

    request = _run.Request(
        models, tasks, study, limit, seed, include_path, data_root, conditions, derive
    )
    _run.plan(request, output=output, as_json=json)


@app.command()
def ls(
    what: Kind,
    *,
    include_path: Include,
    json: Json = False,
) -> None:
    """List models, tasks, studies, readouts or backends."""
    from vlmbench.cli import _ls

    _ls.ls(what.value, include_path, as_json=json)


@app.command()
def show(
    name: str,
    index: Annotated[int, typer.Option(min=0, help="Which document of a task to show.")] = 0,
    output: Annotated[Path, typer.Option(help="Folder for a task's images.")] = Path(),
    *,
    derive: Derive = False,
    include_path: Include,
    data_root: Data = None,
) -> None:
    """Show a resolved spec. For a task, also render one prompt and write its images as PNG.

    For a model also which pixels it and its encoder are given. For a hub id or a folder with a
    checkpoint that no model's YAML names: every derived value, and where it came from.
    """
    from vlmbench.cli import _catalogue

    _catalogue.show(name, index, output, include_path, data_root, derive=derive)


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
def leaderboard(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("leaderboard"),
    recorded: Annotated[
        str | None,
        typer.Option(help="Recorded models to show in a table of their own."),
    ] = None,
    *,
    include_path: Include,
) -> None:
    """Publish runs as one leaderboard: README.md, and its rows as JSON and CSV."""
    from vlmbench import report
    from vlmbench.registry import catalogue

    found = catalogue(include_path).select_models(recorded) if recorded is not None else []
    for path in report.leaderboard(runs, output, recorded=[model.spec for model in found]):
        typer.echo(str(path))


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
    )
    if not complete:
        raise typer.Exit(3)


@app.command("lm-eval")
def lm_eval(
    *,
    models: Models,
    tasks: Annotated[
        str,
        typer.Option(
            "--tasks",
            "-t",
            help="Our tasks, as for `run`, or lm-eval's own tasks, groups, tags and globs.",
        ),
    ],
    limit: Annotated[
        float | None,
        typer.Option(
            min=0, help="Only the first N documents of every task; below 1, this share of them."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for lm-eval's result files.")
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch_size: BatchSize = "auto",
    num_fewshot: Annotated[
        int | None, typer.Option(min=0, help="Few-shot examples, for lm-eval's own tasks.")
    ] = None,
    log_samples: Annotated[
        bool, typer.Option("--log-samples", help="Also write every prompt and answer.")
    ] = False,
    system_instruction: Annotated[
        str | None, typer.Option(help="Text to put before every task's description.")
    ] = None,
    gen_kwargs: Annotated[
        str | None, typer.Option(help="Settings for generated text, such as max_gen_toks=32.")
    ] = None,
    use_cache: Annotated[
        str | None, typer.Option(help="Path under which lm-eval caches answers.")
    ] = None,
    write_out: Annotated[
        bool, typer.Option("--write-out", help="Print the first documents.")
    ] = False,
    predict_only: Annotated[
        bool, typer.Option("--predict-only", help="Save the answers without computing metrics.")
    ] = False,
    confirm_run_unsafe_code: Annotated[
        bool,
        typer.Option("--confirm-run-unsafe-code", help="Let tasks run code that a model wrote."),
    ] = False,
    include_path: Include,
    data_root: Data = None,
) -> None:
    """Run lm-eval itself on our models: its tasks or ours, with its own table and result files."""
    from vlmbench.cli import _folders, _lm_eval
    from vlmbench.harness import Evaluation

    _lm_eval.lm_eval(
        Evaluation(
            models=models,
            tasks=tasks,
            include_paths=tuple(include_path),
            data_root=_folders.data_folder(data_root),
            limit=limit,
            output=output,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            num_fewshot=num_fewshot,
            log_samples=log_samples,
            system_instruction=system_instruction,
            gen_kwargs=gen_kwargs,
            use_cache=use_cache,
            write_out=write_out,
            predict_only=predict_only,
            confirm_unsafe_code=confirm_run_unsafe_code,
        )
    )


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
