"""Markers of one image: each label box with the ring that belongs to it.

A label finds its ring, not the reverse: white letters on black are rare in photographs, red
things are not. All markers of one image are drawn alike, so that a ring or a label that differs
from the others is doubted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlmbench.annotate._labels import Label, find_labels
from vlmbench.annotate._rings import LEAST_RADIUS, Redness, Ring, find_rings, redness

# Ring radius over the height of the capitals: .45 in VPBench's copy of the style; the range is
# wide because BLINK's own code is not published.
_RADII = (0.28, 1.7)
# Free space between a label's capitals and its ring, over the capitals' height: .7 in VPBench.
_GAP = (-0.3, 2.0)
# A label is below its ring only where this many heights do not fit above it.
_ROOM = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A labelled ring.

    Attributes:
        label: `REF` or a letter.
        x, y: Centre of the ring in pixels; a pixel's centre has its integer coordinates.
        radius: Of the middle of the ring's stroke, in pixels.
        confidence: In [0, 1]: the weakest of what speaks for it.
    """

    label: str
    x: float
    y: float
    radius: float
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """A label, one ring that may be its, and how well they fit, in [0, 1]."""

    label: Label
    ring: Ring
    fit: float

    @property
    def gap(self) -> float:
        """Pixels between the label's capitals and the ring; negative numbers if it is above."""
        if self.ring.y > self.label.box[3]:
            return self.ring.y - self.ring.radius - self.label.box[3]
        return self.ring.y + self.ring.radius - self.label.box[1]


def find_markers(rgb: NDArray[np.uint8]) -> list[Marker]:
    """Return the markers of one image, the most certain first.

    Args:
        rgb: (h, w, 3) image with drawn markers.

    Returns:
        Everything that may be a marker, also what is doubtful: the same label may come twice.
    """
    red, labels = redness(rgb), find_labels(rgb)
    options = {i: _pairs(red, label, None) for i, label in enumerate(labels)}
    chosen = _assign(options)
    sure = [pair for pair, _ in chosen.values() if _certainty(pair) >= 0.5]
    if len(sure) >= 2:
        radius = float(np.median([pair.ring.radius for pair in sure]))
        options = {i: _pairs(red, label, radius) for i, label in enumerate(labels)}
        chosen = _assign(options)
    markers = [
        _marker(pair, lead, [other for j, (other, _) in chosen.items() if j != i])
        for i, (pair, lead) in chosen.items()
    ]
    return sorted(markers, key=lambda marker: -marker.confidence)


def _pairs(red: Redness, label: Label, radius: float | None) -> list[_Pair]:
    """Return a label's possible rings, best first; all of about `radius` if that is known."""
    _, top, _, bottom = label.box
    high = label.height
    radii = (
        (_RADII[0] * high, _RADII[1] * high) if radius is None else (0.85 * radius, 1.18 * radius)
    )
    radii = (max(radii[0], LEAST_RADIUS), max(radii[1], LEAST_RADIUS * 1.3))
    x0, x1 = int(label.centre - 1.2 * high) - 2, int(label.centre + 1.2 * high) + 3
    nearest, farthest = _GAP[0] * high + radii[0], _GAP[1] * high + radii[1]
    windows = [(x0, int(bottom + nearest), x1, int(bottom + farthest) + 1)]
    if top < _ROOM * high + 2 * radii[1] + _GAP[1] * high:
        windows.append((x0, int(top - farthest), x1, int(top - nearest) + 1))
    pairs = []
    for window in windows:
        for ring in find_rings(red, window, radii, radius):
            fit = _ring_fit(ring) * _geometry(red.shape, label, ring)
            if radius is not None:
                fit *= _same_radius(ring, radius)
            pairs.append(_Pair(label=label, ring=ring, fit=fit))
    return sorted((pair for pair in pairs if pair.fit > 0), key=lambda pair: -pair.fit)


def _ramp(value: float, low: float, high: float) -> float:
    """Return 0 below `low`, 1 above `high` and a straight line between (either order)."""
    return float(np.clip((value - low) / (high - low), 0, 1))


def _ring_fit(ring: Ring) -> float:
    """How much a ring looks like one that was drawn, in [0, 1]."""
    whole = _ramp(ring.support, 0.2, 0.9)
    strong = math.sqrt(_ramp(ring.contrast, 0.0, 0.35))
    return whole * strong * (0.5 + 0.5 * _ramp(ring.spread, 0.2, 0.05))


def _geometry(shape: tuple[int, ...], label: Label, ring: Ring) -> float:
    """How well a ring lies below its label (or above, at the top of the image), in [0, 1]."""
    left, top, right, bottom = label.box
    high, aside = label.height, ring.x - label.centre
    # A box that would leave the image is shifted inwards, away from the ring's middle.
    edge = 0.6 * high
    shifted = (aside < 0 and left < edge) or (aside > 0 and right > shape[1] - edge)
    centred = 1.0 if shifted else _ramp(abs(aside), 0.55 * high + 1, 0.12 * high + 1)
    if ring.y > (top + bottom) / 2:
        gap = (ring.y - ring.radius - bottom) / high
    else:
        gap = (top - ring.y - ring.radius) / high
        if ring.y - ring.radius > _ROOM * high:
            return 0.0
    if not _GAP[0] <= gap <= _GAP[1]:
        return 0.0
    return centred * (0.6 + 0.4 * _ramp(gap, _GAP[1], 0.9))


def _assign(options: dict[int, list[_Pair]]) -> dict[int, tuple[_Pair, float]]:
    """Give every label one ring of its own, best fits first.

    Returns:
        Per label its pair, and by how much that fits better than its next ring, or than its own and
        another label's ring exchanged, in [0, 1].
    """
    chosen: dict[int, tuple[_Pair, float]] = {}
    taken: list[Ring] = []
    ranked = [(i, pair) for i, pairs in options.items() for pair in pairs]
    for i, pair in sorted(
        ranked, key=lambda item: -item[1].fit * max(item[1].label.reading.match, 0.0)
    ):
        if i in chosen or any(_one(pair.ring, ring) for ring in taken):
            continue
        others = [
            other.fit
            for other in options[i]
            if _rival(other.ring, pair.ring) and not any(_one(other.ring, r) for r in taken)
        ]
        chosen[i] = (pair, 1 - min(max(others, default=0.0) / pair.fit, 1.0))
        taken.append(pair.ring)
    return {
        i: (pair, min([lead, *_swap_leads(i, chosen, options)]))
        for i, (pair, lead) in chosen.items()
    }


def _swap_leads(
    i: int, chosen: dict[int, tuple[_Pair, float]], options: dict[int, list[_Pair]]
) -> Iterator[float]:
    """Yield by how much label `i` and each other one fit better than with their rings exchanged.

    A label above two rings that overlap and one below them fit either way.
    """
    for j, (other, _) in chosen.items():
        pair = chosen[i][0]
        mine = max((p.fit for p in options[i] if _one(p.ring, other.ring)), default=0.0)
        theirs = max((p.fit for p in options[j] if _one(p.ring, pair.ring)), default=0.0)
        if j != i:
            yield 1 - min(mine * theirs / (pair.fit * other.fit), 1.0)


def _one(a: Ring, b: Ring) -> bool:
    """Tell whether two fits are of one ring, or cannot both be."""
    return bool(np.hypot(a.x - b.x, a.y - b.y) < 0.3 * max(a.radius, b.radius))


def _rival(a: Ring, b: Ring) -> bool:
    """Tell whether two fits differ by more than the error of a good one."""
    return bool(np.hypot(a.x - b.x, a.y - b.y) > 0.12 * max(a.radius, b.radius) + 0.7)


def _certainty(pair: _Pair) -> float:
    reading, ring = pair.label.reading, pair.ring
    return min(
        _ramp(reading.match, 0.62, 0.82),
        _ramp(reading.margin, -0.02, 0.06),
        _ramp(ring.support, 0.25, 0.65),
        # A few pixels of a small ring are a blob: what is seen of it must be longer than that.
        _ramp(2 * math.pi * ring.support * ring.radius, 10.0, 20.0),
        _ramp(ring.contrast, 0.03, 0.12),
        _ramp(ring.spread, 0.22, 0.1),
        _ramp(pair.fit, 0.05, 0.45),
    )


def _marker(pair: _Pair, lead: float, others: Sequence[_Pair]) -> Marker:
    confidence = min(_certainty(pair), _ramp(lead, 0.0, 0.2))
    peers = [other for other in others if _certainty(other) >= 0.5]
    if peers:
        confidence = min(confidence, _alike(pair, peers))
    ring = pair.ring
    return Marker(
        label=pair.label.reading.label, x=ring.x, y=ring.y, radius=ring.radius,
        confidence=round(confidence, 4),
    )  # fmt: skip


def _same_radius(ring: Ring, radius: float) -> float:
    return _ramp(abs(ring.radius - radius), 0.18 * radius + 0.8, 0.06 * radius + 0.5)


def _alike(pair: _Pair, peers: Sequence[_Pair]) -> float:
    """How much a marker is drawn like the image's others, in [0, 1]."""
    radius = float(np.median([peer.ring.radius for peer in peers]))
    height = float(np.median([peer.label.height for peer in peers]))
    same_ring = _same_radius(pair.ring, radius)
    same_text = _ramp(abs(pair.label.height - height), 0.35 * height + 1.5, 0.1 * height + 1)
    gaps = [peer.gap for peer in peers if (peer.gap < 0) == (pair.gap < 0)]
    away = abs(pair.gap - float(np.median(gaps))) if gaps else 0.0
    return min(same_ring, same_text, _ramp(away, 0.6 * height + 1.5, 0.2 * height + 1))
