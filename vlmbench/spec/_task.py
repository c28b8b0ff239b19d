"""Task YAML: lm-evaluation-harness keys, and ours under `metadata.vlmbench`.

lm-eval 0.4.13 refuses unknown top-level keys and leaves `metadata` free, so one file serves
both. Key names and meanings: lm_eval/config/task.py and docs/task_guide.md of lm-eval.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StrictInt, model_validator

from vlmbench.spec._answers import AnswerRule, AnyAnswerRule, Declared, Filters, OwnScoring
from vlmbench.spec._base import Name, Spec
from vlmbench.spec._conditions import Condition
from vlmbench.spec._dataset import DatasetOptions
from vlmbench.spec._hints import Hints
from vlmbench.spec._markers import AnyMarkers
from vlmbench.spec._probes import Probe

Tags = str | tuple[str, ...]
OutputType = Literal["multiple_choice", "generate_until"]

# What lm-eval assumes where a task does not say: TaskConfig, and HFLM.max_gen_toks.
_OUTPUT_TYPE: OutputType = "generate_until"
_UNTIL = "\n\n"
_MAX_GEN_TOKS = 256


class PointColumn(Spec):
    """Points (x, y) in pixels of the upright image, read from a data column."""

    kind: Literal["point"]
    image: int = Field(default=0, ge=0)
    """Which of the task's images the points are in, counted from 0."""
    column: str
    """Column that holds [x, y] (reference) or a list of [x, y] (choices)."""


class BoxColumn(Spec):
    """Boxes (x0, y0, x1, y1) in pixels of the upright image, read from a data column."""

    kind: Literal["box"]
    image: int = Field(default=0, ge=0)
    """Which of the task's images the boxes are in, counted from 0."""
    column: str
    """Column that holds [x0, y0, x1, y1] (reference) or a list of them (choices)."""
    clip: bool = False
    """Cut boxes off at the edges of their image, for data whose boxes reach beyond them. A box that
    is entirely outside is still refused."""


class WholeImages(Spec):
    """Whole images as regions."""

    kind: Literal["image"]
    images: tuple[int, ...]
    """Indices of the images, from 0: one for a reference, one per choice for choices."""


RegionSource = Annotated[PointColumn | BoxColumn | WholeImages, Field(discriminator="kind")]


class Regions(Spec):
    """The places that a question is about. Without them, an encoder cannot be asked directly."""

    reference: RegionSource | None = None
    """Where the question starts: the REF point or the reference image."""
    choices: RegionSource
    """One region per choice, in the order of `doc_to_choice`."""
    missing: Literal["refuse", "skip"] = "refuse"
    """What to do with a document whose columns are null: `refuse` the data, or `skip` the
    document in the encoder readout, where it then counts as failed."""

    @property
    def has_places(self) -> bool:
        """Whether some of them are points or boxes."""
        parts = (self.reference, self.choices)
        return any(part is not None and not isinstance(part, WholeImages) for part in parts)


class Generator(Spec):
    """Rendered data: which world draws the documents, and how many."""

    world: str
    """Name of a world (`vlmbench data ls`)."""
    train: int = Field(default=0, ge=0, le=1_000_000)
    """Documents in the training split."""
    validation: int = Field(default=0, ge=0, le=1_000_000)
    """Documents in the validation split."""
    test: int = Field(default=300, ge=1, le=1_000_000)
    """Documents in the test split."""
    seed: int = Field(default=0, ge=0)
    """Seed of the whole data set; splits never share a document seed."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the world, such as its difficulty. A world refuses parameters it does not
    have."""


class Reader(Spec):
    """Published data on disk, read in its own layout."""

    layout: Literal["spair71k", "hpatches", "funkpoint", "nyuv2", "da2k"]
    """The layout; docs/data.md says what each looks like and how to get the data."""
    root: str | None = None
    """Folder of the unpacked data; a relative one starts at `$VLMBENCH_DATA`. If absent: the folder
    there that the archive unpacks into."""
    documents: int | None = Field(default=300, ge=1)
    """Most documents to draw for the test split; null for all of them."""
    seed: int = Field(default=0, ge=0)
    """Seed of which documents, which points and which letters."""


class MarkerPoints(Spec):
    """Coordinates recovered from drawn markers by `vlmbench annotate`."""

    kind: Literal["markers"]
    file: str
    """JSONL with one marker per row (`doc_id`, `image`, `label`, `x`, `y`, `confidence`); relative
    ones start at `$VLMBENCH_DATA/annotations`."""
    min_confidence: float = Field(default=0.5, ge=0, le=1)
    """A less certain marker counts as not found."""


class VpBenchPoints(Spec):
    """Coordinates and unmarked images that VPBench publishes for BLINK documents."""

    kind: Literal["vpbench"]
    part: Literal["depth", "semantic"]
    """Which of BLINK's tasks."""
    root: str = "longlian/VPBench"
    """Folder of the downloaded repository; relative ones start at `$VLMBENCH_DATA`."""


Points = Annotated[MarkerPoints | VpBenchPoints, Field(discriminator="kind")]


class LmEvalTask(Spec):
    """A task that ships with lm-eval, asked and scored by lm-eval's own code."""

    task: str
    """Its name there."""
    metric: str | None = None
    """The metric that is a document's credit, for generated text. If absent: lm-eval's first."""


class Source(Spec):
    """Where a task comes from, and how it differs from its source."""

    title: str
    """Name of the data set or paper."""
    url: str | None = None
    license: str | None = None
    citation: str | None = None
    deviation: str | None = None
    """How the task differs from its source."""
    documents: int | None = Field(default=None, ge=1)
    """How many documents the published split has; data with another number is refused."""
    errata: str | None = None
    """What is known to be wrong in the published data, and in which of its versions."""


class Wording(Spec):
    """The question as it is asked and scored in another form, over the same columns."""

    doc_to_text: str
    """As the task's own key."""
    doc_to_choice: str | tuple[str, ...]
    """As the task's own key: as many choices, in the same order."""


class VlmbenchTask(Spec):
    """What only vlmbench knows about a task. All of it may be absent."""

    ability: str | None = None
    """What the task measures, as one word with underscores. Tables are grouped by it. If absent:
    the task's own name."""
    id_column: str | None = None
    """Column with a unique document id. If absent: row numbers."""
    cluster_by: str | None = None
    """Column that says which documents share something (an image, a scene, a condition) and so
    tell less than as many others: intervals and tests count its values. A document where it is
    null shares nothing. If absent: documents are grouped by the image files that they share."""
    generator: Generator | None = None
    """Draws the data instead of loading `dataset_path`."""
    reader: Reader | None = None
    """Reads the data from a published layout instead of loading `dataset_path`."""
    lm_eval: LmEvalTask | None = None
    """Takes documents and, for generated text, their credit from a task that ships with lm-eval;
    `vlmbench run --tasks lm_eval:NAME` makes such a spec by itself."""
    points: Points | None = None
    """Adds coordinates that the data does not have, as the columns `points_reference` and
    `points_choices`. VPBench also adds `unmarked_1` (and `unmarked_2`)."""
    encoder_images: tuple[str, ...] | None = None
    """Columns of the same images as `doc_to_image`, without drawn markers. If absent, the encoder
    sees the marked images, and the record says so."""
    regions: Regions | None = None
    markers: AnyMarkers | None = None
    """How the model is shown points and boxes. `{}` draws them in BLINK's style (with keys, in
    another); `drawn`: the images carry them already; `text`: the prompt gives coordinates."""
    probe: Probe | None = None
    """How the encoder is asked directly. If absent, the task has no encoder readout."""
    answer: AnyAnswerRule | None = None
    """How a choice is read from generated text: `declared` (docs/answers.md), `blink`, or
    `filters` (lm-eval's `filter_list`, then an exact match). Where absent `filters` if the task
    has a `filter_list`, else `declared`."""
    paraphrases: tuple[str, ...] = ()
    """`doc_to_text` in other words, over the same columns and with as many images, for the
    conditions `paraphrase-1`, `paraphrase-2` and so on. None may tell more than the task's own."""
    letters: Wording | None = None
    """How the question is asked for letters, where `doc_to_choice` gives texts (`letters`)."""
    texts: Wording | None = None
    """How the question is asked for texts, where `doc_to_choice` gives letters (`texts`)."""
    condition: Condition = Condition()
    """What is changed before anything sees a document (a blind variant blanks its images)."""
    hints: Hints | None = None
    """Words of hints and fillers, for studies that use them."""
    source: Source | None = None


class TaskMetadata(Spec):
    """lm-eval leaves this mapping free; only `vlmbench` is checked."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    version: float | str = 1.0
    """Raise it when prompts, data or scoring change."""
    vlmbench: VlmbenchTask = VlmbenchTask()


class FilterStep(Spec):
    """One lm-eval filter function with its arguments (`regex`, `take_first`, `lowercase`, ...)."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    function: str


class FilterPipeline(Spec):
    """A named chain of filters that turns generated text into an answer."""

    name: str
    filter: tuple[FilterStep, ...] = Field(min_length=1)


class Metric(Spec):
    """A metric as lm-eval names it. vlmbench computes its own statistics from every task."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    metric: str
    aggregation: str | None = None
    higher_is_better: bool | None = None
    hf_evaluate: bool = Field(default=False, exclude=True)
    """Without effect: a metric is lm-eval's own, and none is downloaded."""


class GenerationKwargs(Spec):
    """How text is generated. Answers must be reproducible, so sampling is refused."""

    until: str | tuple[str, ...] = ()
    """Strings that end the answer."""
    max_gen_toks: int = Field(default=16, ge=1)
    """The most tokens to generate."""
    do_sample: Literal[False] = False
    """Answers must be reproducible, so the likeliest token is always taken."""
    temperature: float = Field(default=0.0, ge=0, le=0)
    """As `do_sample`: 0, or leave it out."""


class TaskSpec(Spec):
    """One task: where its documents come from, how they are asked, how they are read.

    Keys that lm-eval knows and that change nothing here are read and left out of the digest.
    """

    task: Name
    """Name by which the task is selected."""
    task_alias: str | None = None
    """Name shown in tables."""
    tag: Tags = ()
    """Names that select this task among others."""
    include: str | tuple[str, ...] | None = None
    """YAML files to start from. As in lm-eval, a key given here replaces the included one as a
    whole; only `metadata` is merged key by key."""
    dataset_path: str | None = None
    """A hub id, `json`, `csv`, `parquet` or `imagefolder`, or a folder (`./` is this file's)."""
    dataset_name: str | None = None
    """Configuration of the data set."""
    dataset_kwargs: DatasetOptions = DatasetOptions()
    """Which files; relative paths in `data_files` and `data_dir` start at this file's folder."""
    training_split: str | None = None
    validation_split: str | None = None
    test_split: str | None = None
    fewshot_split: str | None = None
    num_fewshot: Literal[0] | None = None
    """Prompts here hold no examples; `vlmbench lm-eval` shows them."""
    fewshot_config: dict[str, Any] | None = Field(default=None, exclude=True)
    """Without effect: prompts here do not contain examples."""
    fewshot_delimiter: str = Field(default=_UNTIL, exclude=True)
    """Where generated text ends if `generation_kwargs` has no `until`."""
    should_decontaminate: bool = Field(default=False, exclude=True)
    """Without effect: nothing is compared with training data."""
    doc_to_decontamination_query: str | None = Field(default=None, exclude=True)
    """Without effect, as `should_decontaminate`."""
    output_type: OutputType = _OUTPUT_TYPE
    """`multiple_choice`: likelihood of each choice. `generate_until`: text, read by
    `metadata.vlmbench.answer`."""
    description: str = ""
    """Jinja that comes before every prompt."""
    doc_to_text: str
    """Jinja over the data row, or the name of a column; `<image>` marks each image's place."""
    doc_to_image: str | tuple[str, ...]
    """Column with the images, or one column per image (null ones are left out)."""
    doc_to_choice: str | tuple[str, ...] | None = None
    """The choices: a list, a column, or Jinja that renders a Python list. `generate_until`
    without choices is free text, credited by lm-eval's `exact_match`."""
    doc_to_target: str | StrictInt
    """Index of the right choice: a column, or Jinja that renders a number. For free text the
    right answer, or a list of them."""
    target_delimiter: str = " "
    """Text between prompt and choice, if no chat template is used."""
    generation_kwargs: GenerationKwargs | None = None
    filter_list: tuple[FilterPipeline, ...] | None = None
    """lm-eval filters for generated text; the first pipeline decides."""
    metric_list: tuple[Metric, ...] | None = None
    repeats: Literal[1] = 1
    """Every question is asked once."""
    metadata: TaskMetadata = TaskMetadata()
    """`version`, and under `vlmbench` what only vlmbench knows."""

    @model_validator(mode="before")
    @classmethod
    def _as_lm_eval_reads_it(cls, data: Any) -> Any:
        """Read null as absent and named choices as a list; fill in how lm-eval generates."""
        if not isinstance(data, dict):
            return data
        read = {key: value for key, value in data.items() if value is not None}
        if isinstance(choices := read.get("doc_to_choice"), dict):
            read["doc_to_choice"] = list(choices.values())
        kwargs = read.get("generation_kwargs", {})
        if read.get("output_type", _OUTPUT_TYPE) == "generate_until" and isinstance(kwargs, dict):
            ends = read.get("fewshot_delimiter", _UNTIL)
            read["generation_kwargs"] = {"until": ends, "max_gen_toks": _MAX_GEN_TOKS} | kwargs
        return read

    @property
    def tags(self) -> tuple[str, ...]:
        """`tag` as a tuple."""
        return (self.tag,) if isinstance(self.tag, str) else self.tag

    @property
    def image_columns(self) -> tuple[str, ...]:
        """`doc_to_image` as a tuple."""
        return (self.doc_to_image,) if isinstance(self.doc_to_image, str) else self.doc_to_image

    @property
    def is_free_text(self) -> bool:
        """Whether answers are text that lm-eval's own code credits, not one of some choices."""
        return self.doc_to_choice is None

    @property
    def answer_rule(self) -> AnswerRule:
        """How generated text is read."""
        if self.is_free_text:
            return OwnScoring()
        return self.bench.answer or (Filters() if self.filter_list else Declared())

    @property
    def ability(self) -> str:
        """What the task measures."""
        return self.bench.ability or self.task

    @property
    def bench(self) -> VlmbenchTask:
        """Short for `metadata.vlmbench`."""
        return self.metadata.vlmbench


class GroupSpec(Spec):
    """A name for several tasks (lm-eval's `group`)."""

    group: Name
    """Name by which all its tasks are selected."""
    group_alias: str | None = None
    """Name shown in tables."""
    include: str | tuple[str, ...] | None = None
    """YAML files to start from."""
    task: tuple[str, ...] = Field(min_length=1)
    """Names of tasks, groups or tags."""
    tag: Tags = ()
    aggregate_metric_list: tuple[dict[str, Any], ...] | None = None
    """lm-eval's key; vlmbench publishes no averages over different abilities."""
    metadata: dict[str, Any] = Field(default_factory=dict)
