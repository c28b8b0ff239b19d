"""Actors of a Ray cluster, and the units that are handed out to them until all are done."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import ray
from ray.exceptions import RayError, RayTaskError

from vlmbench.plan import Unit
from vlmbench.readouts import Answer
from vlmbench.run._worker import Over, Site, Told, Wrong
from vlmbench.types import Problem, VlmbenchError

# Actors that are asked for at once and have not started: enough to fill a large cluster quickly,
# few enough that they are of the models that need them now.
_MOST_STARTING = 64
# How many actors may die of a unit, or of their start, before that is no accident. Those of a node
# that has died count once: until that is noticed, Ray sends others there.
_MOST_DEATHS = 3
_NODE_DIED = re.compile(r"node has died\. Node Id: (\w+)")
# Seconds without an actor after which it is said what is being waited for.
_PATIENCE = 60


@dataclass(slots=True)
class Work:
    """A unit that is waiting or under way.

    Attributes:
        unit: What is to be read.
        held: Answers that are there already, by cell and `doc_id`.
        deaths: The actors or nodes that have died of it, since its last answer.
    """

    unit: Unit
    held: dict[str, dict[str, Answer]] = field(default_factory=dict)
    deaths: set[str] = field(default_factory=set)


class Desk(Protocol):
    """Whoever has the work of one model and takes its answers."""

    @property
    def model(self) -> str:
        """Name of the model."""

    @property
    def waiting(self) -> deque[Work]:
        """Work that no actor is doing; actors take the first."""

    def asks(self) -> dict[str, Any]:
        """Return what an actor asks Ray for."""

    def hire(self) -> Any:
        """Ask Ray for an actor of the model."""

    def check(self, site: Site) -> None:
        """Raise VlmbenchError if an actor does not run what this process takes it to run."""

    def take(self, work: Work, told: Told) -> None:
        """Take what an actor tells of a unit."""


class Pool:
    """Hires actors where work waits, hands units out, and gives those of dead actors to others.

    There is no schedule: an actor that is free takes the next unit of its model, and whatever
    devices the cluster has at the moment are asked for by the models with the most work an actor.

    Args:
        desks: The models.
        say: Is told about what happens to the cluster.
    """

    def __init__(self, desks: Sequence[Desk], say: Callable[[str], None]) -> None:
        self._desks, self._say = desks, say
        self._starting: dict[Any, tuple[Desk, Any]] = {}
        self._idle: list[tuple[Desk, Any]] = []
        self._busy: dict[Any, tuple[Desk, Any, Work]] = {}
        self._deaths = {desk.model: set[str]() for desk in desks}  # at the start, in a row

    def work_off(self) -> None:
        """Return when nothing is waiting or under way.

        Raises:
            VlmbenchError: If a unit cannot be done, or actor after actor dies of it.
        """
        try:
            while self._busy or any(desk.waiting for desk in self._desks):
                self._hand_out()
                self._dismiss()
                self._hire()
                for ref in self._news():
                    if ref in self._starting:
                        self._started(ref)
                    else:
                        self._hear(ref)
        finally:
            for _, actor in self._actors():
                ray.kill(actor)

    def _actors(self) -> Iterator[tuple[Desk, Any]]:
        """Yield all actors, first those that have no device yet."""
        yield from self._starting.values()
        yield from self._idle
        yield from ((desk, actor) for desk, actor, _ in self._busy.values())

    def _hand_out(self) -> None:
        """Give every idle actor the next unit of its model."""
        for place in list(self._idle):
            desk, actor = place
            if desk.waiting:
                work = desk.waiting.popleft()
                stream = actor.run.options(num_returns="streaming").remote(work.unit, work.held)
                self._busy[stream] = (desk, actor, work)
                self._idle.remove(place)

    def _dismiss(self) -> None:
        """Give back the devices of actors whose model has nothing waiting."""
        # First those that have no device yet, so that none of them is given one for nothing.
        for ref in [ref for ref, (desk, _) in self._starting.items() if not desk.waiting]:
            ray.kill(self._starting.pop(ref)[1])
        for _, actor in (place for place in self._idle if not place[0].waiting):
            ray.kill(actor)
        self._idle = [place for place in self._idle if place[0].waiting]

    def _hire(self) -> None:
        """Ask for actors where more units wait than actors are about to take."""
        hired = {desk.model: 0 for desk in self._desks}
        starting = dict(hired)
        for desk, _ in self._actors():
            hired[desk.model] += 1
        for desk, _ in self._starting.values():
            starting[desk.model] += 1

        def need(desk: Desk) -> float:
            left = len(desk.waiting) - starting[desk.model]
            return left / (1 + hired[desk.model]) if left > 0 else 0

        while len(self._starting) < _MOST_STARTING:
            desk = max(self._desks, key=need)
            if not need(desk):
                return
            actor = desk.hire()
            self._starting[actor.site.remote()] = (desk, actor)
            hired[desk.model] += 1
            starting[desk.model] += 1

    def _news(self) -> list[Any]:
        """Wait for something to happen; return whose turn it is to be heard."""
        refs = [*self._starting, *self._busy]
        ready, _ = ray.wait(refs, num_returns=1, timeout=_PATIENCE)
        if not ready and not self._busy:
            asking = {desk.model: desk.asks() for desk, _ in self._starting.values()}
            there = {kind: n for kind, n in ray.cluster_resources().items() if kind[:4] != "node"}
            self._say(f"waiting for {asking}; the cluster has {there}")
        return list(ray.wait(refs, num_returns=len(refs), timeout=0)[0])

    def _started(self, ref: Any) -> None:
        desk, actor = self._starting.pop(ref)
        try:
            found = ray.get(ref)
        except RayTaskError as error:
            raise _unfit(desk, error) from error
        except RayError as error:
            self._mourn(desk, actor, error, self._deaths[desk.model], "it could start")
            return
        if isinstance(found, Wrong):
            raise VlmbenchError(found.problems)
        desk.check(found)
        self._deaths[desk.model].clear()
        self._idle.append((desk, actor))

    def _hear(self, stream: Any) -> None:
        """Take the next thing that an actor tells."""
        desk, actor, work = self._busy[stream]
        try:
            told = ray.get(next(stream))
        except RayTaskError as error:
            raise error.as_instanceof_cause() from error
        except RayError as error:  # its process or its node is gone, and what it had not told yet
            del self._busy[stream]
            ray.kill(actor)
            names = ", ".join(cell.name for cell in work.unit.cells)
            self._mourn(desk, actor, error, work.deaths, f"it answered anything of {names}")
            desk.waiting.appendleft(work)
            return
        if isinstance(told, Wrong):
            raise VlmbenchError(told.problems)
        work.deaths.clear()
        if isinstance(told, Over):
            del self._busy[stream]
            self._idle.append((desk, actor))
        desk.take(work, told)

    def _mourn(
        self, desk: Desk, actor: Any, error: RayError, deaths: set[str], before: str
    ) -> None:
        """Say that an actor died, and note of what.

        Raises:
            VlmbenchError: If too many died of the same.
        """
        node = _NODE_DIED.search(str(error))
        what = node[1] if node else str(actor)
        if what in deaths:  # said before
            return
        deaths.add(what)
        # Otherwise the last line says why; lines about the actor's names are set in.
        lines = [line for line in str(error).splitlines() if line.strip() == line != ""]
        why = f"its node {node[1]} has died" if node else lines[-1]
        if len(deaths) < _MOST_DEATHS:
            self._say(f"an actor of {desk.model} was lost ({why}); its work goes to another")
            return
        message = (
            f"{len(deaths)} actors of model {desk.model!r} died one after another before {before}"
        )
        remedy = (
            "If memory ran out, say what the model needs (`needs: {memory_gb: ...}`) or lower "
            f"--batch-size. What is finished is kept. The last one: {why}"
        )
        raise VlmbenchError(Problem(message=message, remedy=remedy)) from error


def _unfit(desk: Desk, error: RayTaskError) -> VlmbenchError:
    """Return what is wrong with a process that cannot even say what it is."""
    message = f"an actor of model {desk.model!r} cannot start: {error.cause}"
    remedy = "Install the same vlmbench on every node of the cluster."
    return VlmbenchError(Problem(message=message, remedy=remedy))
