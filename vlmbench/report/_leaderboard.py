"""The published page."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from vlmbench.metrics import MISSING, SMALL_LOW_MASS, SMALL_MASS, rate, small_masses
from vlmbench.report._answered import UNREAD, is_written, told, turned
from vlmbench.report._baselines import (
    baseline_table,
    has_baselines,
    recorded_table,
    rule_table,
    rules,
)
from vlmbench.report._board import Board
from vlmbench.report._difficulty import difficulty_sections
from vlmbench.report._format import FAILED, code, escape, line_of, markdown_table, reasons
from vlmbench.report._lost import lost_table
from vlmbench.report._past_rules import past_rules_sections
from vlmbench.report._prompts import prompts_table
from vlmbench.report._ranks import rank, rank_notes, rank_table
from vlmbench.report._readings import readings_table
from vlmbench.report._tables import (
    MARKED,
    UNLIKE,
    control_table,
    corrected_table,
    discoveries,
    failures,
    gap_matrix,
    majority,
    measured,
    model_name,
    results_of_model,
    results_of_task,
    task_name,
    variation_table,
)
from vlmbench.spec import ANSWER_RULES, MARKERS, ModelSpec
from vlmbench.store import Manifest, Run, TaskRecord


def page(board: Board, recorded: Sequence[ModelSpec] = (), runs: Sequence[Run] = ()) -> str:
    """Return a board of `runs` as markdown, with published numbers of the models `recorded`."""
    sections = [
        "# Leaderboard",
        "How well vision-language models answer questions about images, next to what can be read "
        "directly from the vision encoder that the same model sees through. **Gap** = "
        "encoder - VQA, on the same questions.",
        *_results(board),
        *notes(board),
        *_reading(board),
        *_lost(board),
        *_baselines(board),
        *past_rules_sections(board, runs),
        *difficulty_sections(board),
        *_ranks(board),
        *_prompts(board),
        *_recorded(board, recorded),
        "## How to read this",
        GUIDE,
        *_section("Chance-corrected", _CORRECTED, corrected_table(board), board),
        *_readings(board),
        *_section("Without the image", _CONTROL, control_table(board), board),
        *_section("How answers are distributed", _VARIATION, variation_table(board), board),
        "## How it was made",
        _commands(board),
        _models(board),
        _tasks(board),
        "Written by `vlmbench leaderboard`. The unrounded numbers are in [rows.json](rows.json) "
        "and [rows.csv](rows.csv), and the runs that they are from in [runs.json](runs.json), with "
        "which `vlmbench reproduce` measures them again. `docs/reading-the-leaderboard.md` in the "
        "source of vlmbench says how to read this page.",
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


GUIDE = f"""\
- **VQA**: the model is shown the images and asked. **Blind**: the same with the images blanked.
- **Encoder**: the model's own vision encoder is read directly, by a fixed rule on its features or \
by a small head fitted on separate training data. No language model takes part.
- **Gap**: positive if the encoder knows what the model does not say. **p** is McNemar's exact \
test or, where documents share something, that of the signs of whole clusters. **Holm's p** allows \
for all gap tests of this page. **Bold** if it is below .05 and the 95% interval excludes 0.
- **Least gap**: the smallest true gap that this comparison would have found in four runs of five \
(two-sided p < .05 by itself), given how often just one of the two readouts was right.
- **Chance**: a uniform guess. **Majority**: the best constant letter. Compare every \
number with both. A VQA accuracy that is no better than blind does not come from the image.
- **Abstained**: share of questions without a readable answer. These count as wrong, except in \
columns called **answered**, which leave them out; nothing is ever guessed for the model. Choices \
that tie share the credit.
- Intervals, in brackets, are 95%: Wilson's for accuracies, Tango's for gaps, a bootstrap for \
distances. They say how much the number would move with other questions of the same kind. Where \
questions share an image, a scene or a condition, they tell less than as many others: intervals \
are those of the effective number **n_eff**, and whole clusters are resampled.
- **Probability of the choices**: a model scored by likelihoods should answer with one of them. \
A note stands above where it gives all of them together less than {rate(SMALL_MASS)} on average, \
or less than {rate(SMALL_LOW_MASS)} to one question in twenty.
- {MARKED} the encoder saw the images with the question's markers drawn into them. {UNLIKE} the \
encoder's weights are not exactly those inside the model. {FAILED} some documents could not be \
run; they are left out."""

_READING = (
    "Where a model wrote, its answer was read by the rule named here. What that does not read "
    "counts as wrong in **VQA** and **Gap**, and is left out where it says **answered**; two gaps "
    f"in one cell are these two. {UNREAD} marks a gap for which they disagree in sign or in being "
    "bold: it says as much about how the model writes as about what it sees."
)

_BASELINES = (
    "How far you get with cheap rules (where a point is, raw pixels, colours, the order and "
    "wording of choices) and with encoders whose weights were freshly drawn, next to the "
    "best trained encoder. Each is the best of several, **chosen on these very documents**, "
    "and therefore optimistic. **Clear of both**: the trained encoder's interval lies "
    "entirely above the other two; if it does not, the table says which one it overlaps. "
    "This asks for more than a test of the paired difference would."
)

_RULES = (
    "Every rule, on the tasks that it applies to. Rules do not use the features of any encoder."
)

_RANKS = (
    "Do models whose encoder knows more answer better? The table has means of (accuracy - "
    "chance) / (1 - chance) over the same tasks, because a plain mean would mix tasks with "
    "different chance levels. Controls are left out. The 95% intervals combine those of the "
    "tasks as independent."
)

_PROMPTS = (
    "The same question in other words, with its choices in another order, asked by letters or by "
    "texts, with other markers. Does the order of the models hang on that? **Ranks** are their "
    "places among the models of this table under all forms; where intervals overlap, another place "
    "says nothing. The lowest and the highest of several are further apart than they would be on "
    "other questions."
)

_ELSEWHERE = (
    "**Not measured here.** These numbers were published, or reached by people, with other "
    "models, prompts or data than those above, even where the names are alike. They cannot "
    "be paired with anything, so there is no gap and no test."
)

_CORRECTED = "(accuracy - chance) / (1 - chance): 0 is a guess and 1 is perfect, on every task."

_CONTROL = (
    "With blank images, both readouts should fall to chance. Anything above chance comes from "
    "the question, the order of the choices, or where the markers are."
)

_LOST = (
    "The gap taken apart along the model's own forward pass; the parts sum to it, up to documents "
    "that failed at some stage. **View**: the encoder's best view (whole, unmarked, its own "
    "square) minus the tower as the model runs it, with the prompt's pixels, joined images and "
    "markers. **Projector**: minus what the language model's first layer is given; a class token "
    "is lost here. **Layers**: minus its last layer at the image's positions. **Language head**: "
    "minus the answer. Depth is read by one linear map of each token at every stage, and **Head** "
    "is what the probe's own decoder adds to that. Intervals are Tango's, each part by itself."
)

_READINGS = (
    "Probes without a fit leave choices open, and an encoder that is ahead by only one of them is "
    "hardly ahead. `encoder` is what all other tables hold; `-mean` sums an image up by the mean "
    "of its patches, `-middle` and `-last` read another layer, `-nearest` takes a point's own "
    "patch instead of one interpolated, `-marked` sees the drawn markers."
)

_VARIATION = (
    "Total variation distance, half the sum of |p - q| over letters and abstention: 0 for the "
    "same answers in the same proportions, 1 for none in common. Noise alone pushes it above "
    "0, so only **bold** ones, whose 95% interval starts above 0, say anything. A model that "
    "looks at its images moves away from its blind answers."
)


def _results(board: Board) -> Iterator[str]:
    models = measured(board)
    if len(models) == 1:
        yield f"## {model_name(board, models[0])}"
        yield results_of_model(board, models[0])
        yield discoveries(board)
    if len(models) < 2:
        return
    yield "## Gap: encoder - VQA"
    yield gap_matrix(board)
    yield discoveries(board)
    yield "## Results by task"
    for task, record in board.tasks.items():
        if not any(board.of(model, task) for model in models):
            continue
        yield f"### {task_name(board, task)}"
        yield (
            f"Ability: {escape(record.ability.replace('_', ' '))}. {_documents(record)}, "
            f"chance {rate(record.chance)}, majority {rate(majority(board, task))}."
        )
        yield results_of_task(board, task)


def _documents(record: TaskRecord) -> str:
    """Return how many documents there are, and what they share."""
    if record.clusters in (None, record.n):
        return f"{record.n} documents"
    by = "image" if record.cluster_by is None else code(record.cluster_by)
    return f"{record.n} documents in {record.clusters} clusters by {by}"


def _reading(board: Board) -> Iterator[str]:
    """Yield by which rule the tasks were read that some model answered in writing."""
    written = {row.task for row in board.rows.values() if is_written(row)}
    if not written:
        return
    says = {rule(kind=rule.kind_of()).name: rule.says for rule in ANSWER_RULES}
    lines = []
    for task in board.tasks:
        if task in written:
            name = board.tasks[task].answers or "not recorded"
            lines.append(
                f"- {task_name(board, task)}: {says.get(name, 'another rule')} ({code(name)})"
            )
    yield from ("## How answers were read", _READING, "\n".join(lines))


def _baselines(board: Board) -> Iterator[str]:
    if has_baselines(board):
        yield from ("## What needs no trained encoder", _BASELINES, baseline_table(board))
    if rules(board):
        yield from (_RULES, rule_table(board))


def _readings(board: Board) -> Iterator[str]:
    table = readings_table(board)
    if table:
        yield from ("## The encoder read in other ways", _READINGS, table)


def _ranks(board: Board) -> Iterator[str]:
    ranking = rank(board)
    if ranking is not None:
        yield from ("## Rank of the encoders", _RANKS)
        yield from (rank_table(board, ranking), rank_notes(board, ranking))


def _prompts(board: Board) -> Iterator[str]:
    table = prompts_table(board)
    if table:
        yield from ("## How much the prompt decides", _PROMPTS, table)


def _recorded(board: Board, recorded: Sequence[ModelSpec]) -> Iterator[str]:
    table = recorded_table(board, recorded)
    if table:
        yield from ("## Recorded elsewhere", _ELSEWHERE, table)
        # Those that are among the runs name their source in the table of models below.
        sources = sorted({spec.source for spec in recorded if spec.source})
        yield from ["Sources: " + "; ".join(map(escape, sources)) + "."] if sources else []


def notes(board: Board) -> Iterator[str]:
    """Yield what a reader of the numbers must know first, each a quotation in markdown."""
    limits = sorted({record.limit for record in board.tasks.values() if record.limit is not None})
    if limits:
        shown = ", ".join(map(str, limits))
        yield f"> Only the first documents of each task were run (`--limit {shown}`): a trial."
    for name, record in board.models.items():
        if record.lora is not None:
            yield (
                f"> {model_name(board, name)} is not its checkpoint as it stands: it was tuned, by "
                f"low-rank updates (LoRA) from {code(record.lora)}."
            )
        if record.unused_weights:
            first, *others = record.unused_weights
            more = f" and {len(others)} more, which the manifest names" if others else ""
            yield (
                f"> {model_name(board, name)}: the model has no place for weights of its "
                f"checkpoint: {escape(first)}{more}."
            )
    failed = [cell for manifest in board.manifests for cell in manifest.failed]
    for row in failures(board):
        yield (
            f"> {FAILED} {model_name(board, row.model)} on {task_name(board, row.task)} "
            f"({escape(row.condition)}, {escape(row.readout)}): "
            f"{round(row.value)} of {row.n} documents failed{escape(reasons(failed, row))}."
        )
    for gap, answered in turned(board.rows.values()):
        yield (
            f"> {UNREAD} {model_name(board, gap.model)} on {task_name(board, gap.task)}: "
            f"{told(gap, answered)}. **The two disagree.**"
        )
    for mean, low in small_masses(board.rows.values()):
        yield (
            f"> {model_name(board, mean.model)} on {task_name(board, mean.task)} "
            f"({escape(mean.condition)}, {escape(mean.readout)}): **the choices together have a "
            f"probability of only {rate(mean.value)}** on average, {rate(low.value)} at the 5th "
            "percentile. Their likelihoods rank answers that the model would often not write."
        )


def _lost(board: Board) -> Iterator[str]:
    table = lost_table(board)
    if table:
        yield from ("## Where the gap arises", _LOST, table)


def _section(title: str, text: str, table: str, board: Board) -> Iterator[str]:
    if measured(board):
        yield from (f"## {title}", text, table)


def command(manifest: Manifest) -> str:
    """Return the command that a run can be made with again."""
    limits = {record.limit for record in manifest.tasks.values()}
    limit = f" --limit {limits.pop()}" if len(limits) == 1 and limits != {None} else ""
    models, tasks = (",".join(sorted(names)) for names in (manifest.models, manifest.tasks))
    # It is pasted into a shell, and one line cannot end the block that it stands in.
    return (
        f"vlmbench run --models {models} --tasks {tasks} "
        f"--study {shlex.quote(line_of(manifest.study))} --seed {manifest.seed}{limit}"
        f"  # vlmbench {line_of(manifest.versions.vlmbench)}"
    )


def _commands(board: Board) -> str:
    lines = sorted({command(manifest) for manifest in board.manifests})
    return "\n".join(["```sh", *lines, "```"])


def _models(board: Board) -> str:
    lines = [
        [
            code(name),
            "recorded" if record.recorded else (record.relation or MISSING),
            code(record.twin) if record.twin else MISSING,
            code(record.weights[:12]) if record.weights else MISSING,
            escape(record.source or MISSING),
        ]
        for name, record in board.models.items()
        if record.rule is None
    ]
    head = ["Model", "Encoder's weights", "Encoder", "SHA-256", "Source"]
    return markdown_table(head, lines, left=len(head)) if lines else ""


def _tasks(board: Board) -> str:
    shown = {variant.kind_of(): variant.says for variant in MARKERS}
    lines = [
        [
            code(name),
            escape(record.ability.replace("_", " ")),
            code(record.digest[:12]),
            code(record.data[:12]),
            MISSING if record.places is None else shown[record.places],
            escape(record.source or MISSING),
        ]
        for name, record in board.tasks.items()
    ]
    head = ["Task", "Ability", "Spec", "Data", "Points and boxes", "Source"]
    return markdown_table(head, lines, left=len(head))
