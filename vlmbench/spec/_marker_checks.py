"""Whether a task's markers fit its regions, so that its question can be answered by looking."""

from __future__ import annotations

from collections.abc import Iterator

from vlmbench.spec._checks import BENCH, Flaw
from vlmbench.spec._task import TaskSpec

_WAYS = (
    "Say one of three. `markers: {}` draws them on the images that the model sees, and the encoder "
    "gets these images without them. `markers: drawn` says that they are in the images already. "
    "`markers: text` says that the prompt gives their coordinates."
)


def check_markers(spec: TaskSpec) -> Iterator[Flaw]:
    """Yield what keeps a model from seeing the points and boxes it is asked about."""
    bench, keys = spec.bench, (*BENCH, "markers")
    markers, regions = bench.markers, bench.regions
    places = regions is not None and regions.has_places
    if markers is None:
        if places:
            message = (
                "the question is about points or boxes, and nothing says how the model is shown "
                "them: without a marker it can only guess, while the encoder is told where they are"
            )
            yield Flaw(keys, message, _WAYS)
        return
    if not places:
        yield Flaw(keys, "the task has no points or boxes that could be shown", "Leave it out.")
        return
    if markers.in_data:
        return
    if bench.points is not None:
        message = "the coordinates are joined to images that carry markers"
        yield Flaw(keys, message, "Write `markers: drawn`.")
    if regions is not None and regions.missing == "skip":
        message = f"with `markers: {markers.kind}` a document without coordinates cannot be asked"
        remedy = "Leave it out, and take those documents out of the data."
        yield Flaw((*BENCH, "regions", "missing"), message, remedy)
    if bench.encoder_images is not None:
        message = "the images of doc_to_image carry no markers, so the encoder is shown those"
        yield Flaw((*BENCH, "encoder_images"), message, "Leave it out, or write `markers: drawn`.")
