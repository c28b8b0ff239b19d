"""The options of `vlmbench lm-eval`, most of them lm-eval's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmbench.cli._options import AllowHost, BatchSize, Data, Device, Dtype, Include, Models


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
    allow_host: AllowHost,
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
            hosts=tuple(allow_host),
        )
    )
