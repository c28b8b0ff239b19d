"""Other forms of a task's question: which there are, and why one cannot be asked."""

from __future__ import annotations

from collections.abc import Iterator

from vlmbench.spec._conditions import Condition
from vlmbench.spec._markers import DrawnHere
from vlmbench.spec._nodes import Keys
from vlmbench.spec._readout import Subject
from vlmbench.spec._task import TaskSpec
from vlmbench.spec._text_changes import Letters, Order, Paraphrase, TextChange, Texts


def worded(task: TaskSpec, change: TextChange) -> TaskSpec:
    """Return the task with the prompt and the choices that a change of the text gives it.

    The task itself where the change has no wording of its own in the task file.
    """
    match change:
        case Paraphrase():
            text = task.bench.paraphrases[change.number - 1]
            return task.model_copy(update={"doc_to_text": text})
        case Letters() | Texts():
            wording = getattr(task.bench, change.kind)
            return task.model_copy(update=dict(wording))
        case _:
            return task


def wordings(task: TaskSpec) -> Iterator[tuple[Keys, TaskSpec]]:
    """Yield the task in every wording that its file declares, with the keys that hold it."""
    bench: Keys = ("metadata", "vlmbench")
    for place in range(len(task.bench.paraphrases)):
        yield (*bench, "paraphrases", place), worded(task, Paraphrase(number=place + 1))
    for change in (Letters(), Texts()):
        if getattr(task.bench, change.kind) is not None:
            yield (*bench, change.kind), worded(task, change)


def unasked(subject: Subject, task: TaskSpec, condition: Condition) -> Iterator[str]:
    """Yield why a task cannot be asked in the form that a condition names."""
    change, name = condition.text, f"task {task.task!r}"
    if change.needs_choices and task.is_free_text:
        yield f"{name} is answered in free text: it has no choices, and `{change.label}` needs them"
        return
    match change:
        case Paraphrase() if change.number > len(task.bench.paraphrases):
            yield (
                f"{name} declares {len(task.bench.paraphrases) or 'no'} paraphrases "
                "(key `metadata.vlmbench.paraphrases`)"
            )
        case Letters() | Texts() if getattr(task.bench, change.kind) is None:
            yield (
                f"{name} does not say how else it is asked by {change.kind} "
                f"(key `metadata.vlmbench.{change.kind}`)"
            )
        case Letters() | Texts() if _writes(subject, task) and not task.answer_rule.any_choice:
            yield (
                f"what is written is read by the rule `{task.answer_rule.kind}`, which knows only "
                f"the choices by which {name} asks"
            )
        case Order() if isinstance(task.doc_to_choice, tuple):
            count = len(task.doc_to_choice)
            if change.rotation >= count:
                yield f"{name} has {count} choices, so `{change.label}` repeats an earlier order"
    if condition.image.redraws_markers and not _draws_markers(task):
        yield f"{name} has no markers that vlmbench drew, so there are none to draw anew"


def _draws_markers(task: TaskSpec) -> bool:
    """Tell whether vlmbench drew the markers in a task's images, and has the images without."""
    bench = task.bench
    ours = bench.generator is not None or bench.reader is not None
    return isinstance(bench.markers, DrawnHere) or (ours and bench.encoder_images is not None)


def _writes(subject: Subject, task: TaskSpec) -> bool:
    """Tell whether answers may be read from what the model writes."""
    model = subject.spec
    thinks = model.prompt.thinking is not None
    return task.output_type == "generate_until" or model.server is not None or thinks
