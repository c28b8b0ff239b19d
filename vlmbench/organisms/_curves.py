"""Training curves as a small SVG, for the model card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT, MARGIN = 260, 150, 28


def curves_svg(log: str) -> str:
    """Draw the loss of every stage, one panel each, from a training log in JSONL.

    Args:
        log: Lines with `stage`, `step` and `loss`; where a stage was restarted, the last line of
            a step counts.
    """
    stages: dict[str, dict[int, float]] = {}
    for line in log.splitlines():
        entry = json.loads(line)
        stages.setdefault(entry["stage"], {})[entry["step"]] = entry["loss"]
    panels = [
        _panel(name, sorted(points.items()), left=i * WIDTH)
        for i, (name, points) in enumerate(stages.items())
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH * len(stages)}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="10">'
        '<rect width="100%" height="100%" fill="white"/>'
    )
    return "\n".join([head, *panels, "</svg>"]) + "\n"


def _panel(name: str, points: Sequence[tuple[int, float]], left: int) -> str:
    """Draw one curve, its axes and their ends."""
    last, top = points[-1][0], max(loss for _, loss in points)
    wide, high = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN
    base = HEIGHT - MARGIN
    path = " ".join(
        f"{left + MARGIN + step / last * wide:.1f},{base - loss / top * high:.1f}"
        for step, loss in points
    )
    x = left + MARGIN
    return "\n".join(
        [
            f'<text x="{x}" y="16">{escape(name)}: loss, last {points[-1][1]:.3f}</text>',
            f'<path d="M{x} {MARGIN}V{base}H{x + wide}" fill="none" stroke="#999"/>',
            f'<polyline points="{path}" fill="none" stroke="#1f5fa8"/>',
            f'<text x="{left + 4}" y="{MARGIN + 4}">{top:.1f}</text>',
            f'<text x="{left + 4}" y="{base}">0</text>',
            f'<text x="{x + wide}" y="{base + 14}" text-anchor="end">{last} steps</text>',
        ]
    )
