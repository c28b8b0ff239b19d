"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Models = Annotated[
    str,
    typer.Option(
        "--models",
        "-m",
        help="Names, globs, tags, YAML paths, checkpoint folders or hub ids, comma-separated.",
    ),
]
Tasks = Annotated[
    str,
    typer.Option(
        "--tasks",
        "-t",
        help="Names, globs, groups, tags, YAML paths or lm_eval:NAME, comma-separated.",
    ),
]
Derive = Annotated[
    bool,
    typer.Option(
        "--derive",
        help="Describe hub ids and folders by their own files, also where a model's YAML names "
        "them.",
    ),
]
Study = Annotated[str, typer.Option(help="Name of a study: which conditions and readouts to run.")]
Conditions = Annotated[
    str | None,
    typer.Option(
        help="Conditions for the prompted readout, instead of the study's, comma-separated: "
        "own,blank,none,swapped,blur-0.5,own+hint-wrong-strong (docs/conditions.md)."
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first N documents of every task.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed for fitted probes and resampling.")]
Include = Annotated[
    list[Path],
    typer.Option(
        "--include-path",
        "-i",
        help="Another folder of YAML files; may be repeated.",
        default_factory=list,
        show_default=False,
    ),
]
AllowHost = Annotated[
    list[str],
    typer.Option(
        "--allow-host",
        help="A server's host that may be sent images, questions and its key, although it does not "
        "come with vlmbench; may be repeated.",
        default_factory=list,
        show_default=False,
    ),
]
AllowNetwork = Annotated[
    bool,
    typer.Option("--allow-network", help="Fetch the addresses that tasks name as data files."),
]
Device = Annotated[str, typer.Option(help="auto, cuda[:N], mps, xpu or cpu.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
BatchSize = Annotated[str, typer.Option(help="Documents per forward pass: auto or a number.")]
MaxFailed = Annotated[
    str,
    typer.Option(
        help="End with an error if more documents of a cell fail: a share, as 10%, or a count."
    ),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the run.")]
Data = Annotated[Path | None, typer.Option("--data-root", help="Folder for rendered data.")]


class Executor(StrEnum):
    """Where models can be run."""

    LOCAL = "local"
    RAY = "ray"


Where = Annotated[
    Executor,
    typer.Option("--executor", help="This process, or a Ray cluster (docs/many-machines.md)."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        envvar="RAY_ADDRESS",
        help="The cluster: auto for one this machine belongs to, ray://HOST:10001 or HOST:6379. "
        "By default one is started on this machine.",
    ),
]
Shards = Annotated[
    int | None,
    typer.Option(
        min=1, help="Shares in which Ray hands out a cell; by default one for every 256 documents."
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print nothing but what is wrong; the numbers are on disk."),
]
LogJson = Annotated[
    bool, typer.Option("--log-json", help="Write progress to stderr as lines of JSON.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
