"""Model YAML: which checkpoint, how it is prompted, and its encoder-probe twin."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from vlmbench.spec._base import ModelName, Spec
from vlmbench.spec._cheap_rules import RuleName
from vlmbench.spec._task import Tags

Padding = Literal["square", "even"]
"""Whether images are padded to exact squares, or equally on both sides."""


class Prompting(Spec):
    """How a question becomes the text a model reads."""

    chat_template: str = "auto"
    """`auto`: the processor's chat template, if it has one. `none`: the bare prompt, inside
    `wrapper` if given. Else the name of one of several that the processor has."""
    wrapper: str | None = None
    """Jinja with `{{ prompt }}` (for base models, or as their authors wrote it); needs
    `chat_template: none`."""
    answer_delimiter: str | None = None
    """Put between prompt and choice. Absent: what the chat template writes there in a turn of the
    assistant, and without a template the task's `target_delimiter`."""
    thinking: int | None = Field(default=None, ge=1)
    """Most tokens of thoughts before an answer. Given: thoughts are switched on where the chat
    template has a switch, every task is answered in writing, and its answers are read from what
    follows the thoughts. Absent: they are switched off, and a model that thinks all the same is not
    scored by likelihoods."""


class ImagePolicy(Spec):
    """How images reach the model."""

    letterbox: int | None = Field(default=None, ge=16)
    """Side in pixels: every image is padded to a square with `fill`, then scaled to this side."""
    fill: tuple[int, int, int] = (0, 0, 0)
    """Colour of the padding."""
    padding: Padding = "square"
    """What is done where the padding is an odd number of pixels. `square`: one more to the right
    or below (LLaVA). `even`: as many on both sides, and what the scaled image has too much is cut
    off (Prismatic)."""
    several: Literal["native", "join"] = "native"
    """`native`: one `<image>` each. `join`: side by side on black, vertically centred, with
    `join_margin` between them (BLINK's way), at the place of the first `<image>`."""
    join_margin: int = Field(default=10, ge=0)


class Twin(Spec):
    """The encoder a VLM consumes, asked directly: its encoder-probe twin."""

    checkpoint: str | None = None
    """Hub id or folder of a standalone vision encoder. If absent: the tower inside the VLM's own
    checkpoint."""
    revision: str | None = None
    layer: int | tuple[int, ...] | Literal["final_norm"]
    """What of the tower the VLM consumes: an index into its hidden states (0 is the embedding,
    -1 the last block's output, -2 the one before, LLaVA's choice); `final_norm`, the last one
    after the tower's final norm; or several indices, whose states are concatenated."""
    pooled: Literal["cls", "mean"] = "cls"
    """One vector per image: the CLS token, or the mean of the patch tokens (no CLS)."""
    letterbox: int | None = Field(default=None, ge=16)
    """Side of the square the twin sees, padded and scaled as the model's own images are; the
    tower's own size where absent."""
    relation: Literal["identical", "finetuned", "lineage"]
    """Whether its weights are the VLM's tower, were fine-tuned into it, or only share its
    recipe."""
    of: str | None = None
    """Name of the standalone encoder the tower came from, for the record."""
    of_relation: Literal["identical", "finetuned", "lineage"] | None = None
    """How the tower's weights relate to `of`, in the words of `relation`; absent if it is not
    published."""


class Weights(Spec):
    """What is put into a checkpoint's weights before it is asked."""

    lora: str
    """Folder of an adapter of peft with low-rank updates (LoRA), as `save_pretrained` and trained
    conditions leave it; relative ones start at this file's folder. They are merged."""


class Needs(Spec):
    """What a model needs of a device."""

    memory_gb: float | None = Field(default=None, gt=0)
    """GiB of device memory for the weights in `dtype`, with room for a batch."""


class Prices(Spec):
    """What a server charges, as its price list says."""

    input: float = Field(ge=0)
    """USD per million prompt tokens."""
    output: float = Field(ge=0)
    """USD per million completion tokens."""
    image_tokens: int = Field(default=2048, ge=1)
    """Most prompt tokens that an image is billed for. Set aside with every request until its true
    usage is known, so that requests under way cannot exceed a budget."""


class Server(Spec):
    """An OpenAI-compatible server and how it may be used."""

    base_url: str
    """Address up to, but without, `/chat/completions`."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key. The key itself is never written
    anywhere."""
    concurrency: int = Field(default=8, ge=1, le=256)
    """Requests under way at once."""
    timeout_s: float = Field(default=120.0, gt=0)
    """Seconds after which a request is abandoned and tried again."""
    retries: int = Field(default=6, ge=0)
    """How often to try again after 408, 429, 5xx, timeouts and broken connections."""
    logprobs: Literal["auto", "never"] = "auto"
    """`auto`: multiple choice is read from the likelihoods of the answer's first token if the
    server lists every choice of every document, and from the generated text otherwise. `never`:
    always from the text."""
    budget_usd: float | None = Field(default=None, gt=0)
    """Most USD that one run folder may spend; needs `prices`."""
    prices: Prices | None = None
    body: dict[str, JsonValue] = Field(default_factory=dict)
    """More keys for every request, as the server documents them (`reasoning_effort: none`). A
    key set to null is left out of the request (`temperature: null`)."""


class RecordedScores(Spec):
    """Numbers that were measured elsewhere: humans, a paper's table."""

    task: str
    """Task they belong to."""
    accuracy: float | None = Field(default=None, ge=0, le=1)
    """A published accuracy; give this or `column`."""
    low: float | None = Field(default=None, ge=0, le=1)
    high: float | None = Field(default=None, ge=0, le=1)
    n: int | None = Field(default=None, ge=1)
    """Documents behind the published number."""
    column: str | None = None
    """Data column of the task with a number in [0, 1] per document (human accuracy)."""
    readout: str = "recorded"
    """What the number is a readout of (`human`, `prompted`, `encoder`, ...), for the table."""


class ModelSpec(Spec):
    """One model: anything that can be put in a row of a leaderboard."""

    model: ModelName
    """Name by which the model is selected."""
    model_alias: str | None = None
    """Name shown in tables."""
    tag: Tags = ()
    include: str | tuple[str, ...] | None = None
    """YAML files to start from; a key given here replaces the included one."""
    backend: str = "hf"
    """Name of the backend that runs the checkpoint (`vlmbench ls backends`)."""
    checkpoint: str | None = None
    """Hub id, or folder (relative ones start at this file's folder)."""
    revision: str | None = None
    """Commit, branch or tag on the hub."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto`: bfloat16 on cuda and xpu, float16 on mps, float32 on cpu."""
    weights: Weights | None = None
    """Updates of the checkpoint's weights, which make it a tuned model of its own."""
    needs: Needs = Needs()
    prompt: Prompting = Prompting()
    image: ImagePolicy = ImagePolicy()
    twin: Twin | None = None
    server: Server | None = None
    """For `backend: openai`: where it is asked. `checkpoint` is then the name that the server
    knows the model by."""
    recorded: tuple[RecordedScores, ...] = ()
    """Numbers measured elsewhere, for a model that is not run here."""
    rule: RuleName | None = None
    """The cheap rule that this model is."""
    source: str | None = None
    """Where the weights or numbers come from."""
    license: str | None = None
    description: str = ""

    @property
    def tags(self) -> tuple[str, ...]:
        """`tag` as a tuple."""
        return (self.tag,) if isinstance(self.tag, str) else self.tag

    @property
    def has_weights(self) -> bool:
        """Whether there is a checkpoint to run, rather than a cheap rule or recorded numbers."""
        return self.rule is None and not self.recorded

    @property
    def is_local(self) -> bool:
        """Whether its checkpoint runs on a device of ours, rather than behind a server."""
        return self.has_weights and self.server is None
