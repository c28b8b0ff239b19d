"""A user's folder and a finished run in which everything that may be a stranger's text is theirs.

Every text of a run is one of two kinds: that of a name or remark, and that of a prompt or reply,
which is long. Names of tasks and models are held to letters by their format and stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import handmade
import numpy as np
from home import Home, noise

from vlmbench.metrics import StatRow, summarise
from vlmbench.plan import make_plan
from vlmbench.registry import catalogue
from vlmbench.spec import Condition, Encoder, Prompted
from vlmbench.store import Exchange, FailedCell, RunFolder, SkippedCell
from vlmbench.tasks import check_documents, load_documents
from vlmbench.types import ChoiceScores, one_line

FORMULA = '=HYPERLINK("http://192.0.2.1","x")'
ACTS = (
    "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</style></title><b>x",
    "<!-- ", " -->", "]]>", "[x](javascript:alert(1))", "![x](http://192.0.2.1/x.png)", "`", "a|b",
    "\n| a |\n|---|\n", "\n# head\n", "- item", "**b**", "{{ 7 * 7 }}", "{% raw %}", "${7*7}",
    "$(id)", "`id`", "'; id; '", '"; id; "', "\\", "[red]x[/red]", "%s", "&lt;", "\u202eabc\u2066",
    "\x1b[2J\x1b]0;t\x1b\\", "\x9b31m", "\u2028", "\u200b", "\tcode", ": #", ":smile:",
    "!!python/name:os.system",
)  # fmt: skip
"""What acts on some reader of some format."""

MODEL, TASK = "m", "t"
N = 40
_KEYS = {"readout"}
"""What stands in the key of a number, where all text is of one line on which nothing hides."""
_ESCAPED = {
    "alias", "task_alias", "study", "platform", "version", "revision", "backend", "dtype", "device",
    "weights", "unused", "layer", "data", "rule", "reason", "results",
}  # fmt: skip
"""What stands in JSON alone, which can hold half a character; YAML and Parquet cannot."""
_ENDLESS = {"alias", "task_alias", "title", "source", "version", "reason", "unused", "ability"}
"""Names of 30,000 characters, as prompts and replies have."""
Says = Callable[[str], str]
"""Gives the text that stands at a place of that name."""


def hostile(place: str) -> str:
    """Return text that acts wherever it is not escaped, and tells where it stood."""
    return f"{FORMULA} {place} {' '.join(ACTS)} end of {place}."


def harmless(place: str) -> str:
    """Return text that does nothing anywhere."""
    return f"text, end of {place}."


@dataclass(frozen=True)
class Made:
    """A folder with a task, a model and a run of both.

    Attributes:
        home: The user's folder.
        run: The run's folder.
        says: What stands at a place.
        places: What stands at every place.
    """

    home: Home
    run: Path
    says: Says
    places: Mapping[str, str]

    @property
    def long(self) -> str:
        """The text of prompts and replies."""
        return _long(self.says)


def _fitted(text: str, place: str) -> str:
    """Return hostile text as a place can hold it, and as bad as it can be there."""
    if place in _KEYS:
        return one_line(text)
    if place in _ENDLESS:
        text = text.replace(" end of", f" {'x' * 30_000} end of")
    return f"\ud800 {text}" if place in _ESCAPED else text


def _long(says: Says) -> str:
    return f"{says('prompt')} {'x' * 30_000}"


def made(folder: Path, give: Says) -> Made:
    """Write a task on 40 documents, a model, and a finished run in which some documents failed."""
    home, places = Home(folder / "home"), {}

    def says(place: str) -> str:
        text = give(place)
        return places.setdefault(place, text if give is harmless else _fitted(text, place))

    images = [home.image(f"{i}.png", noise(i, (48, 32))) for i in range(4)]
    rows = [
        {"id": f"{says('id')} {i}", "question": _long(says), "answer": i % 2,
         "image": images[i % 4], "share": f"{says('cluster')} {i}"}
        for i in range(N)
    ]  # fmt: skip
    source = {key: says(key) for key in ("title", "url", "license", "citation", "deviation")}
    home.task(
        TASK, rows, task_alias=says("task"), tag=[says("tag")], doc_to_choice=_choices(says),
        bench={"id_column": "id", "source": source, "ability": says("ability"),
               "cluster_by": "share"},
    )  # fmt: skip
    home.model(
        MODEL, says("checkpoint"), model_alias=says("model"), tag=[says("tag")],
        source=says("source"), license=says("license"), description=says("description"),
        twin={"layer": -1, "relation": "identical", "of": says("twin")},
    )  # fmt: skip
    home.write("paper.yaml", {
        "model": "paper", "model_alias": says("paper"), "source": says("paper"),
        "recorded": [{"task": TASK, "accuracy": 0.6, "n": 9, "readout": says("readout")}],
    })  # fmt: skip
    return Made(home, _run(home, says, [str(row["id"]) for row in rows]), says, places)


def _choices(says: Says) -> list[str]:
    return [f"{says('choice')} {letter}" for letter in "AB"]


def _scores(
    ids: Sequence[str], share: float, seed: int, *, failed: int = 0, abstained: int = 0
) -> ChoiceScores:
    gold = np.arange(N) % 2
    right = np.random.default_rng(seed).random(N) < share
    given = np.log(0.1 + 0.8 * np.eye(2)[np.where(right, gold, 1 - gold)])
    found = handmade.scored(given, gold, doc_ids=tuple(ids))
    found.failed[:failed] = True
    found.abstained[failed : failed + abstained] = True
    return found


def _run(home: Home, says: Says, ids: list[str]) -> Path:
    """Write the run as `vlmbench run` would have, by hand: no model gives such answers."""
    folder, found = RunFolder(home.folder.with_name("run")), catalogue([home.folder])
    found.check()
    plan = make_plan(
        [found.models[MODEL]], [found.tasks[TASK]], found.studies["gap"],
        limit=None, seed=0, count=lambda _: N, known_tasks=found.tasks,
    )  # fmt: skip
    digest = check_documents(load_documents(found.tasks[TASK], "reported", home.folder / "worlds"))
    versions = handmade.VERSIONS.model_copy(update={"vlmbench": says("version")})
    cells = {
        (Condition(), Prompted()): _scores(ids, 0.6, 0, failed=3, abstained=4),
        (Condition.parse("blank"), Prompted()): _scores(ids, 0.5, 1),
        (Condition.parse("none"), Prompted()): _scores(ids, 0.5, 2),
        (Condition.parse("own+single"), Prompted()): _scores(ids, 0.5, 3),
        (Condition(), Encoder()): _scores(ids, 0.9, 4, failed=2),
    }
    names = [
        _record(folder, says, readout.label, condition.label, scores, digest, versions)
        for (condition, readout), scores in cells.items()
    ]
    plain = {key: of for key, of in cells.items() if key[0].label != "own+single"}
    rows = summarise(plain, model=MODEL, task=TASK, seed=0)
    published = StatRow(
        model="paper", task=TASK, condition="own", readout=says("readout"),
        metric="accuracy", value=0.6, low=0.5, high=0.7, n=9, coverage=1.0,
    )  # fmt: skip
    about = {
        "alias": says("alias"), "checkpoint": says("checkpoint"), "revision": says("revision"),
        "twin": says("twin"), "source": says("source"), "license": says("license"),
        "backend": says("backend"), "device": says("device"), "dtype": says("dtype"),
        "unused_weights": (says("unused"),), "weights": says("weights"), "lora": says("lora"),
        "layer": says("layer"), "relation": "identical", "digest": plan.models[0].digest,
    }  # fmt: skip
    task = handmade.task_record(
        says("ability"), alias=says("task_alias"), source=says("title"), documents=digest,
        data=says("data"), answers=says("rule"), cluster_by=says("cluster"), clusters=30, n=N, of=N,
        digest=plan.tasks[0].digest,
    )  # fmt: skip
    paper = handmade.model_record(alias=says("paper"), recorded=True, source=says("paper"))
    skipped = SkippedCell(
        model=MODEL, task=TASK, condition="own", readout="hidden", reason=says("reason")
    )
    failed = [
        FailedCell(model=row.model, task=row.task, condition=row.condition, readout=row.readout,
                   reasons={says("error"): int(row.value)})
        for row in rows if row.metric == "failed" and row.value
    ]  # fmt: skip
    manifest = handmade.manifest(
        {TASK: task}, {MODEL: handmade.model_record(**about), "paper": paper},
        study=says("study"), platform=says("platform"), versions=versions, cells=tuple(names),
        skipped=(skipped,), failed=tuple(failed), study_digest=plan.study.digest,
    )  # fmt: skip
    folder.finish(manifest, [*rows, published], {"results": says("results")})
    return folder.path


def _record(
    folder: RunFolder, says: Says, readout: str, condition: str, scores: ChoiceScores,
    digest: str, versions: Any,
) -> str:  # fmt: skip
    about = handmade.basis(
        MODEL, TASK, readout, condition, documents=digest, versions=versions, device=says("device")
    )
    said = [
        Exchange(
            choices=_choices(says), marked=False, hint_target=-1, finish=says("finish"),
            prompt="" if readout == "encoder" else _long(says),
            response="" if readout == "encoder" else _long(says),
            error=says("error") if failed else "",
        )
        for failed in scores.failed
    ]  # fmt: skip
    cell = f"{MODEL}/{TASK}/{readout}-{condition}"
    notes = {"read_by": says("rule")} if readout == "prompted" else {}
    folder.record(cell).write(about, scores, said, weights={}, fitted={}, notes=notes)
    return cell
