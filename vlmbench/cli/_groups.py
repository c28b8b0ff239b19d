"""Commands that belong to a group: `data`, `organisms`, `convert` and `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmbench.cli._options import Data, Include, Json, Limit

data_app = typer.Typer(help="Build or list rendered data.", no_args_is_help=True)
organisms_app = typer.Typer(
    help="Train the tiny models that ship with vlmbench, or check one against its gate.",
    no_args_is_help=True,
)
convert_app = typer.Typer(
    help="Convert checkpoints in other layouts into plain ones.", no_args_is_help=True
)
export_app = typer.Typer(help="Write runs as logs of other tools.", no_args_is_help=True)

TaskNames = Annotated[
    list[str],
    typer.Argument(
        help="Names of tasks; by default, all of them.", default_factory=list, show_default=False
    ),
]


@data_app.command("build")
def data_build(
    tasks: TaskNames,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Also write Parquet that other harnesses can load, and its Croissant description.",
        ),
    ] = None,
    *,
    include_path: Include,
    data_root: Data = None,
) -> None:
    """Build rendered data, unless it is already there."""
    from vlmbench.cli import _data

    _data.build(tasks, output, include_path, data_root)


@data_app.command("ls")
def data_ls(
    tasks: TaskNames,
    *,
    include_path: Include,
    data_root: Data = None,
    json: Json = False,
) -> None:
    """List rendered data with its fingerprints."""
    from vlmbench.cli import _data

    _data.ls(tasks, include_path, data_root, as_json=json)


@organisms_app.command("train")
def organisms_train(
    name: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a recipe's path.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the model.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder for images and saved states.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start training over; the images are kept.")
    ] = False,
) -> None:
    """Train a tiny model from its recipe; a run that was stopped continues."""
    from vlmbench.cli import _organisms

    _organisms.train(name, output, cache, fresh=fresh)


@organisms_app.command("gate")
def organisms_gate(
    name: str,
    limit: Limit = None,
    *,
    include_path: Include,
    data_root: Data = None,
    json: Json = False,
    card: Annotated[
        bool, typer.Option("--card", help="Also write the table into the model's card.")
    ] = False,
) -> None:
    """Check a tiny model against its gate, on held-out seeds. LoRA takes a quarter of an hour."""
    from vlmbench.cli import _organisms

    _organisms.gate(name, include_path, data_root, limit, as_json=json, card=card)


@organisms_app.command("teach")
def organisms_teach(
    name: str,
    task: Annotated[str, typer.Argument(help="Name of a rendered task.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the adapter.")
    ] = None,
    *,
    include_path: Include,
    data_root: Data = None,
) -> None:
    """Teach a tiny model's language model a task by LoRA, with a control. Takes an hour."""
    from vlmbench.cli import _organisms

    _organisms.teach(name, task, output, include_path, data_root)


@convert_app.command("prismatic")
def convert_prismatic(
    source: Annotated[
        Path, typer.Argument(help="Folder with config.json and checkpoints/latest-checkpoint.pt.")
    ],
    target: Annotated[Path, typer.Argument(help="Folder to write to.")],
    encoder: Annotated[
        str | None,
        typer.Option(
            help="File, folder or hub id of the encoder's timm weights; by default, timm's own."
        ),
    ] = None,
    llm_tokenizer: Annotated[
        str, typer.Option(help="Folder or hub id of the language model's tokenizer.")
    ] = "lmsys/vicuna-7b-v1.5",
) -> None:
    """Turn a Prismatic VLM and its encoder's weights into one LLaVA-class checkpoint."""
    from vlmbench.cli import _convert

    _convert.from_prismatic(source, target, encoder, llm_tokenizer)


@export_app.command("inspect")
def export_inspect(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the logs.")] = Path(
        "logs"
    ),
) -> None:
    """Write a run as `.eval` logs of inspect_ai, which `inspect view` opens."""
    from vlmbench.cli import _publish

    _publish.export_inspect(run, output)
