"""SPair-71k: pairs of photographs of one category with key points matched by index.

Layout [D], as the release and its own loaders have it (Min et al., arXiv 1908.10543,
https://cvlab.postech.ac.kr/research/SPair-71k): `PairAnnotation/{trn,val,test}/*.json` with
`category`, `src_imname`, `trg_imname`, `src_kps` and `trg_kps` ([[x, y], ...], the same index
naming the same part), and `JPEGImages/<category>/<name>`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from vlmbench.tasks.sources._items import (
    Item,
    Layout,
    apart,
    clipped,
    inside,
    open_picture,
    picture_size,
)
from vlmbench.tasks.sources._places import named, require

SPLITS = {"train": "trn", "validation": "val", "test": "test"}
N_CHOICES = 4
# Candidates nearer to each other than this share of the longer side would share a ring.
APART = 0.05
# Some key points lie a pixel past the edge, having been counted from 1.
SLACK = 1.5


def _items(root: Path, split: str, rng: np.random.Generator) -> Iterator[Item]:
    """Yield pairs in random order, with a random key point and three others of the target.

    BLINK also takes its candidates from the pair's own key points (VPBench publishes which);
    that they must be 5% of the picture apart is ours.
    """
    folder = require(root / "PairAnnotation" / SPLITS[split], "the split", "")
    files = sorted(folder.glob("*.json"))
    for index in rng.permutation(len(files)):
        item = _item(root, files[index], rng)
        if item is not None:
            yield item


def _item(root: Path, file: Path, rng: np.random.Generator) -> Item | None:
    """Return the item of one pair, or None if it has too few key points apart."""
    pair = json.loads(file.read_text(encoding="utf-8"))
    images, what = root / "JPEGImages", f"a picture of {file.name}"
    source = named(images, pair["category"], pair["src_imname"], what=what)
    target = named(images, pair["category"], pair["trg_imname"], what=what)
    size = picture_size(target)
    order = rng.permutation(len(pair["trg_kps"]))
    for gold in order:
        chosen = [int(gold)]
        for other in order:
            points = tuple(tuple(pair["trg_kps"][i]) for i in (*chosen, other))
            if other != gold and apart(points, APART * max(size)) and len(chosen) < N_CHOICES:
                chosen.append(int(other))
        candidates = [tuple(pair["trg_kps"][i]) for i in chosen]
        reference = tuple(pair["src_kps"][chosen[0]])
        places = [(reference, picture_size(source)), *((point, size) for point in candidates)]
        sound = all(inside(point, where, slack=SLACK) for point, where in places)
        if len(chosen) == N_CHOICES and sound:
            return Item(
                # Colons of the release's names have no place in file names.
                name=file.stem.replace(":", "_"),
                pictures=(partial(open_picture, source), partial(open_picture, target)),
                reference=clipped(reference, picture_size(source)),
                candidates=tuple(clipped(point, size) for point in candidates),
                facts={"category": pair["category"]},
            )
    return None


SPAIR71K = Layout(
    folder="SPair-71k",
    remedy=(
        "wget https://cvlab.postech.ac.kr/research/SPair-71k/data/SPair-71k.tar.gz\n"
        '    mkdir -p "{home}" && tar -xzf SPair-71k.tar.gz -C "{home}"\n'
        "    (it is looked for at {root})"
    ),
    splits=tuple(SPLITS),
    n_pictures=2,
    n_choices=N_CHOICES,
    facts=("category",),
    items=_items,
)
