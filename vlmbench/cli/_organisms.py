"""`vlmbench organisms train` and `vlmbench organisms gate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from vlmbench.cli._folders import cache_root, data_folder
from vlmbench.cli._printing import display, say, say_json
from vlmbench.registry import catalogue, packaged_paths
from vlmbench.report import Column, Layout
from vlmbench.types import Problem, VlmbenchError

if TYPE_CHECKING:
    from vlmbench.organisms import GateRow

_CRITERIA = (
    Column(head="criterion", wraps=True),
    Column(head="measured", right=True),
    Column(head="95% interval", right=True),
    Column(head="asked"),
    Column(head="met"),
)


def recipe_path(name: str) -> Path:
    """Return the recipe that a name or path refers to.

    Raises:
        VlmbenchError: If there is none.
    """
    given = Path(name)
    if given.is_file():
        return given
    shipped = [path for folder in packaged_paths() for path in folder.glob("recipes/*.yaml")]
    for path in shipped:
        if path.stem == name:
            return path
    names = ", ".join(sorted(path.stem for path in shipped))
    raise VlmbenchError(
        Problem(message=f"there is no recipe {name!r}", remedy=f"Recipes are: {names}.")
    )


def train(name: str, output: Path | None, cache: Path | None, *, fresh: bool) -> None:
    """Train a model from its recipe, continuing where an earlier run stopped."""
    from vlmbench import organisms

    recipe = organisms.load_recipe(recipe_path(name))
    folder = output or Path(recipe.organism)
    console = Console(stderr=True)
    with Bars(
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console,
    ) as bars:
        stages: dict[str, TaskID] = {}

        def show(progress: organisms.Progress) -> None:
            stage = progress.stage
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=progress.total, figures="")
            figures = "  ".join(f"{key} {value:.3f}" for key, value in progress.figures.items())
            bars.update(stages[stage], completed=progress.done, figures=figures)

        organisms.train(
            recipe,
            output=folder,
            cache=cache or cache_root() / "organisms",
            resume=not fresh,
            progress=show,
        )
    say(f"wrote {folder}")


def criteria(rows: Sequence[GateRow]) -> Layout:
    """Return the gate's criteria as a table."""
    return Layout(columns=_CRITERIA, rows=[row.cells for row in rows])


def checkpoint_folder(name: str, include_paths: Sequence[Path]) -> Path:
    """Return the folder of a model's weights, which also has its card."""
    (model,) = catalogue(include_paths).select_models(name)
    return model.folder / str(model.spec.checkpoint)


def teach(
    name: str,
    task: str,
    output: Path | None,
    include_paths: Sequence[Path],
    data_root: Path | None,
) -> None:
    """Teach a model a task, write the adapter, and print what was measured before and after."""
    from vlmbench import organisms

    folder = output or Path(f"{name}-{task}")
    with Console(stderr=True).status("teaching") as status:
        rows = organisms.teach(
            name,
            task,
            output=folder,
            data_root=data_folder(data_root),
            cache=cache_root() / "organisms",
            include_paths=include_paths,
            advance=status.update,
        )
    display(criteria(rows))
    say(f"wrote {folder}")


def gate(
    name: str,
    include_paths: Sequence[Path],
    data_root: Path | None,
    limit: int | None,
    *,
    as_json: bool,
    card: bool,
) -> None:
    """Measure a model's gate and print it as a table; status 1 if a criterion is not met."""
    from vlmbench import organisms

    console = Console(stderr=True)
    with console.status("gate") as status:
        rows = organisms.gate(
            name,
            data_root=data_folder(data_root),
            cache=cache_root() / "organisms",
            include_paths=include_paths,
            limit=limit,
            advance=status.update,
        )
    if as_json:
        say_json(organisms.as_json(rows))
    else:
        display(criteria(rows))
    if card:
        place = checkpoint_folder(name, include_paths) / "README.md"
        text = organisms.with_gate(place.read_text(encoding="utf-8"), organisms.table(rows))
        place.write_text(text, encoding="utf-8")
    missed = [row for row in rows if not row.passed]
    if missed:
        raise VlmbenchError(
            [Problem(message=f"not met: {row.criterion} ({row.target})") for row in missed]
        )
