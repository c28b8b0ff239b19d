"""Probes: how an encoder is asked directly. Each class says all there is to know about it.

A new probe is a class here, its name in the union below, and the function that
`implementation` names, which makes what does the reading.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from vlmbench.spec._region_needs import RegionNeeds
from vlmbench.spec._variants import Variant


class ProbeSpec(Variant):
    """How a task's question is read off features."""

    implementation: ClassVar[str]
    """`module:function` that takes this spec and a `vlmbench.readouts.probes.Fitting`, and returns
    what scores documents, a `vlmbench.readouts.probes.Head`."""
    staged: ClassVar[str]
    """`module:class` that takes this spec and reads every stage of a model: a
    `vlmbench.readouts.probes.StageProbe`."""
    fitted: ClassVar[bool]
    """Whether a head is fitted first, on training and validation documents."""
    compares: ClassVar[bool]
    """Whether it compares vectors by their cosine."""
    needs: ClassVar[RegionNeeds]
    """Regions that a document must have."""
    depths: ClassVar[tuple[float, ...]]
    """Which hidden states it reads, as fractions of the way to the one that the VLM consumes,
    ascending; the last is 1."""

    varies: ClassVar[frozenset[str]]
    """Options of the encoder readout that change what it reads. A fitted probe has none but `head`:
    what it has learnt belongs to the usual ones."""

    @property
    def fit_task(self) -> str | None:
        """Name of the task whose splits it is fitted on; None for the task itself."""
        return None

    @property
    def fit_columns(self) -> tuple[str, ...]:
        """Columns that fitting reads beyond what documents hold."""
        return ()

    def layers(self, *, n_layers: int, consumed: int) -> tuple[int, ...]:
        """Return the hidden states it reads, shallow to deep; the last is the consumed one.

        A tower with fewer blocks than `depths` gives some state twice.

        Args:
            n_layers: Transformer blocks of the tower.
            consumed: Index into its n_layers + 1 hidden states (0: embedding); may be negative.

        Raises:
            ValueError: If the tower has no such hidden state.
        """
        if not -(n_layers + 1) <= consumed <= n_layers:
            raise ValueError(
                f"there is no layer {consumed} in a tower with {n_layers + 1} hidden states"
            )
        last = consumed % (n_layers + 1)
        return tuple(int(last * share) for share in self.depths)


class KeypointProbe(ProbeSpec):
    """Argmax cosine similarity of patch features sampled at the points to the reference's."""

    implementation = "vlmbench.readouts.probes._similarity:keypoint_head"
    staged = "vlmbench.readouts.probes._stages:Unfitted"
    fitted = False
    compares = True
    needs = RegionNeeds(reference=("point",), candidates=("point",))
    depths = (1.0,)
    varies = frozenset({"layer", "sampling", "sees"})
    kind: Literal["keypoint"] = "keypoint"


class DepthProbe(ProbeSpec):
    """A DPT depth decoder on frozen features; the region of smallest mean depth is nearest.

    It reads the states a quarter, half, three quarters and all of the way to the consumed layer.
    With all of a tower consumed these are Probe3D's (blocks n/4-1, n/2-1, 3n/4-1 and n-1, counted
    from 0); deviation: what the VLM never consumes is not used.
    """

    implementation = "vlmbench.readouts.probes._fit_depth:depth_head"
    staged = "vlmbench.readouts.probes._stages:Depth"
    fitted = True
    compares = False
    needs = RegionNeeds(candidates=("point", "box"))
    depths = (0.25, 0.5, 0.75, 1.0)
    varies = frozenset({"head"})
    kind: Literal["depth"] = "depth"
    depth_column: str
    """Column of the training and validation splits with the depth map of image 0: a 16-bit
    image in millimetres, 0 where depth is unknown."""
    fit_on: str | None = None
    """Name of the task whose training and validation splits the decoder is fitted on, for tasks
    that come without depth maps. If absent: the task's own."""
    answer: Literal["nearest", "farthest"] = "nearest"
    """Which region the question asks for."""

    @property
    def fit_task(self) -> str | None:
        """Name of the task whose splits it is fitted on; None for the task itself."""
        return self.fit_on

    @property
    def fit_columns(self) -> tuple[str, ...]:
        """The depth maps."""
        return (self.depth_column,)


class GramProbe(ProbeSpec):
    """Smallest mean squared error between Gram matrices of the reference and each choice."""

    implementation = "vlmbench.readouts.probes._similarity:gram_head"
    staged = "vlmbench.readouts.probes._stages:Unfitted"
    fitted = False
    compares = False
    needs = RegionNeeds(reference=("image",), candidates=("image",))
    depths = (1.0,)
    varies = frozenset({"layer"})
    kind: Literal["gram"] = "gram"


class OddOneOutProbe(ProbeSpec):
    """The image with the lowest mean similarity to the others is the odd one."""

    implementation = "vlmbench.readouts.probes._similarity:odd_one_out_head"
    staged = "vlmbench.readouts.probes._stages:Unfitted"
    fitted = False
    compares = True
    needs = RegionNeeds(candidates=("image",), min_candidates=3)
    depths = (1.0,)
    varies = frozenset({"layer", "pooling"})
    kind: Literal["odd_one_out"] = "odd_one_out"


class LinearProbe(ProbeSpec):
    """Multinomial logistic regression on pooled features, fitted on the training split."""

    implementation = "vlmbench.readouts.probes._linear:linear_head"
    staged = "vlmbench.readouts.probes._stages:Linear"
    fitted = True
    compares = False
    needs = RegionNeeds()
    depths = (1.0,)
    varies = frozenset()
    kind: Literal["linear"] = "linear"
    label_column: str
    """Column with the class name of the document; the classes of its choices are in
    `choices_column`."""
    choices_column: str
    """Column with the class name of every choice, in choice order."""
    group_column: str | None = None
    """Column that says which family of classes is asked for (one probe is fitted for each)."""

    @property
    def fit_columns(self) -> tuple[str, ...]:
        """What the classes are read from."""
        group = () if self.group_column is None else (self.group_column,)
        return (self.label_column, self.choices_column, *group)


_Any = KeypointProbe | DepthProbe | GramProbe | OddOneOutProbe | LinearProbe
PROBES: tuple[type[ProbeSpec], ...] = get_args(_Any)
"""Every probe."""

Probe = Annotated[_Any, Field(discriminator="kind")]
