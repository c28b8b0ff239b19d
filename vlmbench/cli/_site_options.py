"""What `vlmbench report` and `vlmbench view` are given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmbench.cli._options import AllowNetwork, Data, Include

Most = Annotated[
    int, typer.Option(min=1, help="Documents of each task that can be looked at, at the most.")
]
MOST_DOCUMENTS = 20_000


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = Path(
        "site"
    ),
    most: Most = MOST_DOCUMENTS,
    data_root: Data = None,
    *,
    include_path: Include,
    allow_network: AllowNetwork = False,
) -> None:
    """Write runs as a site to open from disk: plots, tables, cards, and every document.

    No model is loaded. Images are drawn again from the tasks' data, where that is still the same.
    """
    from vlmbench.cli import _site

    data = _site.data_of(include_path, data_root, allow_network=allow_network)
    _site.report(runs, output, data, most=most)


def view(
    run: Annotated[Path, typer.Argument(help="Folder of a run, which may be in progress.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="By default, any free one.")] = 0,
    most: Most = MOST_DOCUMENTS,
    data_root: Data = None,
    *,
    include_path: Include,
    allow_network: AllowNetwork = False,
) -> None:
    """Serve a run's site to this machine alone, and follow the run while it is in progress."""
    from vlmbench.cli import _site

    data = _site.data_of(include_path, data_root, allow_network=allow_network)
    _site.view(run, data, port=port, most=most)
