"""lm-eval's evaluation of our models, with its own table and result files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlmbench.harness._model import VlmbenchLM
from vlmbench.harness._tasks import known, select
from vlmbench.models import load_backend
from vlmbench.registry import check_hosts
from vlmbench.run import Reporter
from vlmbench.types import Problem, VlmbenchError


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What lm-eval is asked to run.

    Attributes:
        models: Selector, as for `vlmbench run`.
        tasks: Terms of our catalogue and of lm-eval's.
        include_paths: More folders of YAML.
        data_root: Folder for rendered data.
        limit: Only the first documents of every task; below 1, this share of them.
        output: Folder of lm-eval's result files; none are written without it.
        device: `auto` or a device name.
        dtype: `auto` or a dtype name.
        batch_size: `auto`, or prompts per forward pass.
        num_fewshot: Few-shot examples, for lm-eval's tasks that have them.
        log_samples: Also write every document with its prompt and answer; needs `output`.
        system_instruction: Text to put before every task's description.
        gen_kwargs: Changes of `generation_kwargs`, such as `max_gen_toks=32`.
        use_cache: Where lm-eval caches answers.
        write_out: Print the first documents.
        predict_only: Save the answers without computing metrics.
        confirm_unsafe_code: Run tasks that lm-eval marks as running code a model wrote.
        hosts: Hosts that may be asked besides this machine and those that ship.
        bootstrap_iters: Resamples of standard errors that have no formula.
    """

    models: str
    tasks: str
    include_paths: tuple[Path, ...] = ()
    data_root: Path = field(default_factory=Path)
    limit: float | None = None
    output: Path | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch_size: str = "auto"
    num_fewshot: int | None = None
    log_samples: bool = False
    system_instruction: str | None = None
    gen_kwargs: str | None = None
    use_cache: str | None = None
    write_out: bool = False
    predict_only: bool = False
    confirm_unsafe_code: bool = False
    hosts: tuple[str, ...] = ()
    bootstrap_iters: int = 100_000


def evaluate(wanted: Evaluation, reporter: Reporter | None = None) -> dict[str, Mapping[str, Any]]:
    """Run lm-eval's `simple_evaluate` for every model and return its results by model name.

    A chat model is asked through its template, and examples go into one message.

    Raises:
        VlmbenchError: If there is something wrong with names, data or models.
    """
    if wanted.log_samples and wanted.output is None:
        message = "samples are written next to the results, and there is no folder for those"
        raise VlmbenchError(Problem(field="--log-samples", message=message, remedy="Add --output."))
    models = known(wanted.include_paths).select_models(wanted.models)
    check_hosts(models, wanted.hosts)
    results = {}
    for model in models:
        selected = select(wanted.tasks, wanted.include_paths, wanted.data_root)
        lm = VlmbenchLM(
            load_backend(model, wanted.device, wanted.dtype, hosts=wanted.hosts),
            batch_size=wanted.batch_size,
            reporter=reporter,
        )
        results[model.spec.model] = _one(wanted, lm, selected.tasks, selected.manager)
    return results


def _one(wanted: Evaluation, lm: VlmbenchLM, tasks: Any, manager: Any) -> Mapping[str, Any]:
    """Evaluate one model and write lm-eval's files."""
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker

    tracker = EvaluationTracker(output_path=None if wanted.output is None else str(wanted.output))
    limit = wanted.limit
    results: dict[str, Any] = simple_evaluate(
        model=lm,
        model_args=f"model={lm.backend.spec.model}",
        tasks=list(tasks),
        task_manager=manager,
        batch_size=wanted.batch_size,
        limit=int(limit) if limit is not None and limit >= 1 else limit,
        num_fewshot=wanted.num_fewshot,
        system_instruction=wanted.system_instruction,
        gen_kwargs=wanted.gen_kwargs,
        use_cache=wanted.use_cache,
        write_out=wanted.write_out,
        predict_only=wanted.predict_only,
        confirm_run_unsafe_code=wanted.confirm_unsafe_code,
        bootstrap_iters=wanted.bootstrap_iters,
        apply_chat_template=lm.chats,
        fewshot_as_multiturn=False,
        log_samples=wanted.log_samples or wanted.predict_only,
        evaluation_tracker=tracker,
    )
    samples = results.pop("samples", None)
    tracker.save_results_aggregated(results=results, samples=samples)
    if wanted.log_samples:
        for name in results["configs"]:
            tracker.save_results_samples(task_name=name, samples=samples[name])
    return results


def tables(results: Mapping[str, Any]) -> str:
    """Return lm-eval's own table of the tasks and, if there are any, that of the groups."""
    from lm_eval.utils import make_table

    parts = [make_table(results)]
    if results.get("groups"):
        parts.append(make_table(results, "groups"))
    return "\n".join(parts)
