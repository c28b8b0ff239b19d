"""The depth rule: a DPT head fitted on dense depth, asked which region is nearer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch.nn.functional import grid_sample

from vlmbench.files import replacing, seal, sealed
from vlmbench.readouts.probes._dpt import DptNetwork
from vlmbench.readouts.probes._features import ImageFeatures
from vlmbench.readouts.probes._head import check_regions
from vlmbench.readouts.probes._loss import DepthMetrics
from vlmbench.readouts.probes._recipe import DptRecipe, recipe_for
from vlmbench.readouts.probes._regions import mean_over_region
from vlmbench.readouts.probes._training import (
    DepthExample,
    EpochMetrics,
    check_examples,
    train_network,
)
from vlmbench.spec import DepthProbe
from vlmbench.types import Document, Scale

Answer = Literal["nearest", "farthest"]

# Depths closer than a tenth of a millimetre are equal: float32 rounding must not break a tie.
_SAME_DEPTH = 1e-4
_WEIGHTS, _SHEET = "head.safetensors", "head.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthHead:
    """A depth head before it is fitted: it has no `score`.

    Attributes:
        answer: Which region the question asks for.
    """

    answer: Answer = "nearest"

    def fit(
        self,
        train: Sequence[DepthExample],
        validation: Sequence[DepthExample],
        *,
        seed: int,
        recipe: DptRecipe | None = None,
        device: str | torch.device = "cpu",
        progress: Callable[[int, int], None] | None = None,
    ) -> FittedDepthHead:
        """Train a head on `train` and keep its best epoch on `validation`.

        Args:
            train: Training split; only indexed and measured, so it may be read lazily.
            validation: Judges every epoch (least mean abs_rel wins) and nothing else.
            seed: Of the first weights and of the order of the images. The same seed gives the
                same weights on one machine's CPU with the same number of threads.
            recipe: How to train; `recipe_for` the tower's width where None.
            device: Where to train.
            progress: Called with (steps done, steps in all).

        Raises:
            VlmbenchError: For an empty split, no known depth, features or maps of differing
                shapes, or a loss that is not finite.
        """
        found_range = check_examples(train, validation)
        embed_dim, side = train[0].features.embed_dim, train[0].features.square.side
        recipe = recipe or recipe_for(embed_dim)
        depth_range = recipe.depth_range or found_range
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = DptNetwork(
                embed_dim=embed_dim, recipe=recipe, depth_range=depth_range, side=side
            )
        network.standardise_by(train[i].features.patch_tokens for i in range(len(train)))
        history = train_network(
            network.to(device),
            train,
            validation,
            recipe=recipe,
            depth_range=depth_range,
            rng=np.random.default_rng(seed),
            progress=progress,
        )
        return FittedDepthHead(
            network=network.eval(),
            recipe=recipe,
            seed=seed,
            depth_range=depth_range,
            history=history,
            answer=self.answer,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedDepthHead:
    """A fitted depth head, which can score.

    Attributes:
        network: The head, frozen by use.
        recipe: How it was trained.
        seed: With which seed.
        depth_range: (least, greatest) depth it can predict, metres.
        history: Metrics of every epoch.
        answer: Which region the question asks for.
    """

    scale: ClassVar[Scale] = "similarity"
    network: DptNetwork
    recipe: DptRecipe
    seed: int
    depth_range: tuple[float, float]
    history: tuple[EpochMetrics, ...]
    answer: Answer = "nearest"

    @property
    def chosen_epoch(self) -> int:
        """The epoch with the least validation abs_rel, counted from 1; the earliest on a tie."""
        return min(self.history, key=lambda past: past.validation.abs_rel).epoch

    @torch.no_grad()
    def predict(self, features: ImageFeatures) -> Float[np.ndarray, "height width"]:
        """Return depth at the centre of every pixel of the original image, metres, float64."""
        frame = features.square
        tokens = features.patch_tokens.to(self.network.bins.device)[None]
        square = self.network(tokens).cpu().double()  # (1, side, side)
        width, height = frame.image_size
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        where = frame.to_square(np.stack([x, y], axis=-1)) / frame.side * 2 - 1
        found = grid_sample(
            square[None],
            torch.from_numpy(where)[None],
            mode="bilinear",
            padding_mode="border",
            align_corners=False,
        )
        depth: NDArray[np.float64] = found[0, 0].numpy()
        return depth

    def score(
        self, document: Document, features: Sequence[ImageFeatures]
    ) -> Float[np.ndarray, " choices"]:
        """Return minus the mean predicted depth of each region in metres, float64.

        The mean is over the box, or the 3x3 pixels around the point. `farthest` turns the sign.
        Depths within 0.1 mm of each other tie.
        """
        check_regions(DepthProbe.needs, document, features)
        return region_scores(document, lambda image: self.predict(features[image]), self.answer)

    def record(self) -> dict[str, Any]:
        """Return how the head came about, as JSON values."""
        return {
            "recipe": asdict(self.recipe),
            "seed": self.seed,
            "depth_range": list(self.depth_range),
            "embed_dim": int(self.network.centre.shape[1]),
            "side": self.network.side,
            "chosen_epoch": self.chosen_epoch,
            "chosen_by": "least validation abs_rel",
            "history": [asdict(past) for past in self.history],
        }

    def save(self, folder: Path) -> None:
        """Write the weights as safetensors and `record()` as sealed JSON into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            name: value.cpu().contiguous() for name, value in self.network.state_dict().items()
        }
        with replacing(folder / _WEIGHTS) as partial:
            save_file(state, partial)
        seal(folder / _SHEET, self.record(), [_WEIGHTS])

    @classmethod
    def load(
        cls, folder: Path, *, answer: Answer = "nearest", device: str | torch.device = "cpu"
    ) -> FittedDepthHead | None:
        """Read what `save` wrote; None if it is not there as it was written.

        Which region is asked for is not part of a head.
        """
        sheet = sealed(folder / _SHEET)
        if sheet is None:
            return None
        recipe = DptRecipe(
            **{**sheet["recipe"], "depth_range": _pair(sheet["recipe"]["depth_range"])}
        )
        low, high = sheet["depth_range"]
        network = DptNetwork(
            embed_dim=sheet["embed_dim"], recipe=recipe, depth_range=(low, high), side=sheet["side"]
        )
        network.load_state_dict(load_file(folder / _WEIGHTS))
        history = tuple(
            EpochMetrics(**{**past, "validation": DepthMetrics(**past["validation"])})
            for past in sheet["history"]
        )
        return cls(
            network=network.to(device).eval(),
            recipe=recipe,
            seed=sheet["seed"],
            depth_range=(low, high),
            history=history,
            answer=answer,
        )


def region_scores(
    document: Document, predict: Callable[[int], NDArray[np.float64]], answer: Answer
) -> NDArray[np.float64]:
    """Return minus the mean depth of each choice's region, (choices,); plus if the farthest wins.

    Args:
        document: What is asked.
        predict: Gives the (height, width) depth map of an image by its number.
        answer: Which region the question asks for.
    """
    maps = {image: predict(image) for image in sorted({r.image for r in document.candidates})}
    depths = [mean_over_region(maps[region.image], region) for region in document.candidates]
    merged = _merge_close(np.asarray(depths, dtype=np.float64))
    return -merged if answer == "nearest" else merged


def _pair(values: list[float] | None) -> tuple[float, float] | None:
    return None if values is None else (values[0], values[1])


def _merge_close(depths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the depths with each one within 0.1 mm of a smaller one replaced by that one."""
    merged = depths.copy()
    last = -np.inf
    for i in np.argsort(depths, kind="stable"):
        if depths[i] - last > _SAME_DEPTH:
            last = depths[i]
        merged[i] = last
    return merged
