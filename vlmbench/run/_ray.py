"""Running the models of a plan on a Ray cluster, in actors that read shares of its cells."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from vlmbench.plan import Plan
from vlmbench.readouts import ignore
from vlmbench.run._model_run import ModelRun, Where
from vlmbench.run._models import Ran, run_model, whole
from vlmbench.run._settings import CheckedTask, Cluster, Reporter, Settings
from vlmbench.run._worker import Site, Wrong, site
from vlmbench.spec import Located, ModelSpec
from vlmbench.types import Problem, VlmbenchError

# Nothing is sent to Ray's makers, and the death of a node is told by us, in one line.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "Raylet is terminated",
}
# Seconds without a device after which it is said what is being waited for.
PATIENCE = 60


@contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """Be connected to a Ray cluster for a while.

    Raises:
        VlmbenchError: If Ray is not installed, or there is no such cluster.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        message = "running on a Ray cluster needs the package `ray`, which is not installed"
        remedy = "Install it: pip install 'vlmbench-gap[ray]'"
        raise VlmbenchError(Problem(field="--executor", message=message, remedy=remedy)) from error
    if ray.is_initialized():
        yield
        return
    local = {"include_dashboard": False} if cluster.address == "local" else {}
    host, _, port = cluster.address.rpartition(":")
    try:
        if host and "//" not in host:  # Ray itself asks for minutes whether somebody is there
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR", **local)
    except (OSError, ValueError, RuntimeError) as error:  # the last where it has another version
        message = f"the Ray cluster at {cluster.address!r} cannot be used: {error}"
        remedy = (
            "Start one with `ray start --head`, or leave --ray-address away. A cluster that asks "
            "for a token needs RAY_AUTH_MODE=token here too."
        )
        raise VlmbenchError(
            Problem(field="--ray-address", message=message, remedy=remedy)
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def run_on_ray(
    plan: Plan, settings: Settings, tasks: Mapping[str, CheckedTask], reporter: Reporter
) -> list[Ran]:
    """Run every model of a plan and return what each leaves, in plan order.

    Models with weights are run by actors of the cluster that this process is connected to;
    servers, rules and recorded numbers by this process, which alone writes into the run's folder.

    Raises:
        VlmbenchError: If a model has problems, or the cluster's processes run something else.
    """
    models = tuple(model for model in plan.models if model.spec.is_local)
    where = _work_off(models, plan, settings, tasks, reporter) if models else {}
    as_written = replace(settings, retry=False)  # what was to be run again has been
    return whole(
        run_model(model, plan, as_written, tasks, _Silent(), where[model.spec.model])
        if model.spec.is_local
        else run_model(model, plan, settings, tasks, reporter)
        for model in plan.models
    )


def _work_off(
    models: tuple[Located[ModelSpec], ...],
    plan: Plan,
    settings: Settings,
    tasks: Mapping[str, CheckedTask],
    reporter: Reporter,
) -> dict[str, Where]:
    """Write the records of all cells of models; return what each was run on, by name."""
    from vlmbench.run._desk import ModelDesk, storing  # both need Ray
    from vlmbench.run._pool import Pool

    def say(news: str) -> None:
        reporter.start(news, 0)

    found, stored = _probe(models, settings, say), storing(tasks)
    desks = [
        ModelDesk(ModelRun(model, plan, settings, tasks, reporter, where), found, stored)
        for model, where in zip(models, found.where, strict=True)
    ]
    for desk in desks:
        _refuse_for_ever(settings, desk.model, desk.asks())
    advance = reporter.start("answers", sum(desk.documents for desk in desks))
    for desk in desks:
        desk.begin(advance)
    Pool(desks, say).work_off()
    return {model.spec.model: where for model, where in zip(models, found.where, strict=True)}


class _Silent:
    """Says nothing of records that have just been written."""

    def start(self, label: str, total: int) -> Callable[[int], None]:
        del label, total
        return ignore

    def expect(self, answers: int) -> None:
        del answers


def _probe(
    models: tuple[Located[ModelSpec], ...], settings: Settings, say: Callable[[str], None]
) -> Site:
    """Return what a process of the cluster runs models with, on a device as they will ask for.

    Raises:
        VlmbenchError: If it has no such device, or one of several is named.
    """
    import ray

    from vlmbench.run._desk import COUNTED

    if ":" in settings.device:
        message = f"{settings.device!r} names one device, and Ray hands out whichever is free"
        remedy = f"Give {settings.device.partition(':')[0]}."
        raise VlmbenchError(Problem(field="--device", message=message, remedy=remedy))
    gpu = settings.device in COUNTED or (
        settings.device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1
    )
    _refuse_for_ever(
        settings, ", ".join(model.spec.model for model in models), {"num_gpus": int(gpu)}
    )
    ref = ray.remote(site).options(num_cpus=1, num_gpus=int(gpu)).remote(models, settings)
    while not ray.wait([ref], timeout=PATIENCE)[0]:
        say(f"waiting for a {'GPU' if gpu else 'CPU'} of the cluster")
    found: Site | Wrong = ray.get(ref)
    if isinstance(found, Wrong):
        raise VlmbenchError(found.problems)
    return found


def _refuse_for_ever(settings: Settings, who: str, asks: Mapping[str, float | None]) -> None:
    """Refuse what a cluster started here will never have; others may grow.

    Raises:
        VlmbenchError: If it asks for more GPUs or memory than there are.
    """
    import ray

    if settings.cluster is None or settings.cluster.address != "local":
        return
    there = ray.cluster_resources()
    for name, kind in {"num_gpus": "GPU", "memory": "memory"}.items():
        asked, has = asks.get(name) or 0, there.get(kind, 0)
        if asked > has:
            unit, size = ("GPUs", 1) if kind == "GPU" else ("GiB of memory", 2**30)
            message = f"{who} asks for {asked / size:g} {unit}; Ray has {has / size:g} here"
            remedy = "Give another --device, or the --ray-address of a cluster that has them."
            raise VlmbenchError(Problem(message=message, remedy=remedy))
