"""Commands for results that others will read: `leaderboard`, `reproduce` and `publish`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmbench.cli._options import AllowHost, AllowNetwork, Data, Include


def leaderboard(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("leaderboard"),
    recorded: Annotated[
        str | None,
        typer.Option(help="Recorded models to show in a table of their own."),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            help="A published leaderboard: recompute it from the records of these runs, write "
            "nothing, and exit with status 1 unless it stands."
        ),
    ] = None,
    *,
    include_path: Include,
) -> None:
    """Publish runs as one leaderboard: README.md, its rows as JSON and CSV, and its runs."""
    from vlmbench import report
    from vlmbench.registry import catalogue

    found = catalogue(include_path).select_models(recorded) if recorded is not None else []
    specs = [model.spec for model in found]
    if check is not None:
        count = report.check_leaderboard(runs, check, recorded=specs)
        typer.echo(f"{check} stands: {count} numbers are those that the records give")
        return
    for path in report.leaderboard(runs, output, recorded=specs):
        typer.echo(str(path))


def reproduce(
    row: Annotated[
        str,
        typer.Argument(
            help="MODEL/TASK, for all its numbers, or MODEL/TASK/CONDITION/READOUT/METRIC."
        ),
    ],
    published: Annotated[
        Path, typer.Argument(help="Folder of a published leaderboard, or of a run.")
    ],
    run: Annotated[
        bool, typer.Option("--run", help="Run the commands, and compare what they give.")
    ] = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the runs.")] = Path(
        "reproduced"
    ),
    *,
    include_path: Include,
    data_root: Data = None,
    allow_host: AllowHost,
    allow_network: AllowNetwork = False,
) -> None:
    """Print the commands that gave a published row; with --run, measure it again.

    Then exits with status 1 unless every number is the same or within its published interval.
    """
    from vlmbench.cli import _reproduce

    holds = _reproduce.reproduce(
        row,
        published,
        run=run,
        output=output,
        include_paths=include_path,
        data_root=data_root,
        hosts=allow_host,
        allow_network=allow_network,
    )
    if not holds:
        raise typer.Exit(1)


def publish(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    organization: Annotated[str, typer.Option(help="Who ran the evaluation.")],
    relationship: Annotated[
        str,
        typer.Option(
            help="How they are related to who made the models: first_party, third_party, "
            "collaborative or other."
        ),
    ],
    dataset: Annotated[
        str, typer.Option(help="Data set on the Hub that the tasks belong to: ORGANIZATION/NAME.")
    ],
    repository: Annotated[
        list[str],
        typer.Option(
            help="MODEL=ORGANIZATION/NAME: the repository of a model that was not loaded from the "
            "Hub; may be repeated.",
            default_factory=list,
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("published"),
    *,
    upload: Annotated[
        bool,
        typer.Option(
            "--upload",
            help="Propose the results to the models' repositories as pull requests, with the token "
            "in HF_TOKEN. Otherwise nothing is sent.",
        ),
    ] = False,
) -> None:
    """Write runs for Every Eval Ever and for the pages of their models on the Hugging Face Hub."""
    from vlmbench.cli import _publish

    _publish.publish(
        runs,
        output,
        organization=organization,
        relationship=relationship,
        dataset=dataset,
        repositories=repository,
        upload=upload,
    )
