"""Plots of interventions and attention: what is drawn is what was measured, and nothing is cut."""

from __future__ import annotations

from dataclasses import replace

import handmade
import numpy as np
import pytest
from home import document, noise
from matplotlib.figure import Figure
from matplotlib.text import Text

from vlmbench.diagnostics import Evidence, Finding
from vlmbench.diagnostics.analyses import attention, counterfactual, interventions
from vlmbench.report.cards._plots._attention import (
    attention_over,
    image_by_head,
    maps_over_images,
    parts_by_layer,
)
from vlmbench.report.cards._plots._interventions import (
    counterfactual_following,
    knockout_by_window,
    patching_by_depth,
)
from vlmbench.spec import Condition
from vlmbench.types import PARTS, WINDOWS, Attention, Internals, Stat, VlmbenchError

LAYERS, HEADS, SIDE = 4, 8, 4


def stat(value: float) -> Stat:
    return Stat(value=value, low=value - 0.05, high=value + 0.05, n=60)


def cut() -> Finding:
    found = [
        interventions.GOLD.measured(stat(-0.1 * window), to=to, window=window, of=of)
        for to in ("last", "question", "all")
        for window, of in ((1, 1), (1, 4), (2, 4), (3, 4), (4, 4))
    ]
    return Finding(analysis=interventions.KNOCKOUT, says="", measurements=tuple(found))


def patched() -> Finding:
    found = [
        interventions.FLIPPED.measured(
            stat(share * (1 - depth)), position=position, source=source, depth=depth
        )
        for position, source, share in (
            ("image", "other", 0.8), ("image", "random", 0.2), ("last", "other", 0.4)
        )
        for depth in (0.0, 0.5, 1.0)
    ]  # fmt: skip
    return Finding(analysis=interventions.PATCHING, says="", measurements=tuple(found))


def followed() -> Finding:
    found = [
        quantity.measured(stat(value), readout=readout)
        for readout, share in (("prompted", 0.2), ("encoder", 0.8))
        for quantity, value in ((counterfactual.BOTH, share), (counterfactual.SAME, 1 - share))
    ]
    return Finding(analysis=counterfactual.ANALYSIS, says="", measurements=tuple(found))


def looked() -> Finding:
    found = [
        attention.PAID.measured(stat(0.1 + 0.02 * layer + 0.1 * place), part=part, layer=layer)
        for place, part in enumerate(PARTS)
        for layer in range(1, LAYERS + 1)
    ]
    found += [
        attention.BY_HEAD.measured(Stat(value=0.1 * head, n=9), layer=layer, head=head)
        for layer in range(1, LAYERS + 1)
        for head in range(1, HEADS + 1)
    ]
    return Finding(analysis=attention.ANALYSIS, says="", measurements=tuple(found))


DRAWN = {
    knockout_by_window: cut, patching_by_depth: patched, counterfactual_following: followed,
    parts_by_layer: looked, image_by_head: looked,
}  # fmt: skip


@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
def test_labels_are_large_and_inside(draw):
    figure = draw({"naming": DRAWN[draw](), "semantic_correspondence": DRAWN[draw]()})
    figure.canvas.draw()
    boxes = [
        text.get_window_extent()
        for text in figure.findobj(Text)
        if any(letter.isalpha() for letter in text.get_text())  # ticks may lie past an axis
    ]
    assert len(boxes) > 4
    assert all(text.get_fontsize() >= 8 for text in figure.findobj(Text))
    assert all(box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1 for box in boxes)


@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
def test_nothing_measured_draws_nothing(draw):
    finding = Finding(analysis=attention.ANALYSIS, says="")
    assert draw({"naming": finding}) is None


def curves(figure: Figure) -> list[list[float]]:
    return [list(map(float, line.get_ydata())) for line in figure.axes[0].get_lines()]


def test_curves_show_the_measurements_they_were_given():
    drawn = curves(knockout_by_window({"naming": cut()}))
    assert drawn.count(pytest.approx([-0.1, -0.2, -0.3, -0.4])) == 3
    drawn = curves(patching_by_depth({"naming": patched()}))
    assert pytest.approx([0.8, 0.4, 0.0]) in drawn
    assert pytest.approx([0.2, 0.1, 0.0]) in drawn
    drawn = curves(parts_by_layer({"naming": looked()}))
    for place in range(len(PARTS)):
        assert pytest.approx([0.12 + 0.1 * place + 0.02 * k for k in range(LAYERS)]) in drawn


def test_bars_and_heads_show_the_measurements_they_were_given():
    (panel,) = counterfactual_following({"naming": followed()}).axes
    assert sorted(round(bar.get_height(), 6) for bar in panel.patches) == [0.2, 0.2, 0.8, 0.8]
    table = image_by_head({"naming": looked()}).axes[0].images[0].get_array()
    assert table.shape == (LAYERS, HEADS)
    np.testing.assert_allclose(table, np.tile(0.1 * np.arange(1, HEADS + 1), (LAYERS, 1)))


# -- maps -------------------------------------------------------------------------------------


def evidence(n: int = 3, *, grids: tuple[int, ...] = (1, SIDE, SIDE)) -> Evidence:
    """Attention that is paid to token 5 alone, half of it a sink's."""
    maps = np.zeros((n, WINDOWS, SIDE * SIDE), dtype=np.float32)
    maps[:, :, 5] = 0.25
    seen = Attention(
        heads=np.full((n, LAYERS, HEADS, len(PARTS)), 0.2, dtype=np.float32),
        sinks=np.zeros((n, LAYERS, 2), dtype=np.int64),
        maps=maps,
        grids=np.tile(np.array(grids), (n, 1)),
    )
    states = np.zeros((n, LAYERS + 1, 2), dtype=np.float32)
    held = Internals(
        doc_ids=tuple(f"d{i}" for i in range(n)), h_image=states, h_text=states, h_last=states,
        mass=np.full((n, LAYERS, 4), 0.25), tokens=np.ones((n, 4), dtype=np.int64), attention=seen,
    )  # fmt: skip
    scores = {("internals", Condition()): handmade.scores(n)}
    return Evidence(model="m", task="t", scores=scores, internals={Condition(): held})


def test_a_map_says_where_attention_to_the_image_lies():
    (panel,) = maps_over_images({"naming": evidence()}).axes
    table = np.asarray(panel.images[0].get_array())
    assert table.shape == (SIDE, SIDE)
    assert table[1, 1] == 1
    assert table.sum() == 1


def test_what_changes_with_the_weights_is_drawn_beside_it():
    base, other = evidence(), Condition.parse("own+random")
    maps = np.roll(base.internals[Condition()].attention.maps, 1, axis=2)
    inside = base.internals[Condition()]
    moved = replace(inside, attention=replace(inside.attention, maps=maps))
    both = replace(base, internals={**base.internals, other: moved})
    own, change = maps_over_images({"naming": both}).axes
    assert change.get_title(loc="left") == "naming: change with random"
    table = np.asarray(change.images[0].get_array())
    assert (table[1, 1], table[1, 2]) == (-1, 1)
    assert np.asarray(own.images[0].get_array())[1, 1] == 1
    panels = attention_over(both, document(1, noise(1, (32, 32)))).axes
    assert [panel.get_title(loc="left") for panel in panels] == [
        "", "attention", "with random", "change with random",
    ]  # fmt: skip


def test_where_the_grid_is_unknown_there_is_no_map():
    assert maps_over_images({"naming": evidence(grids=(0, 0, 0))}) is None


def test_a_map_is_laid_over_its_document():
    shown = document(1, noise(1, (32, 32)))
    figure = attention_over(evidence(), shown)
    over = figure.axes[1].images[1]
    assert np.asarray(over.get_array())[1, 1] == 1
    assert over.get_extent() == [-0.5, 95.5, 95.5, -0.5]
    with pytest.raises(VlmbenchError, match="was not run"):
        attention_over(evidence(), document(9, noise(1, (32, 32))))
    with pytest.raises(VlmbenchError, match="is unknown"):
        attention_over(evidence(grids=(0, 0, 0)), shown)
