from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vlmbench.organisms._dense import (
    WEIGHTS,
    DenseObjective,
    label_loss,
    match_loss,
    number_loss,
    order_loss,
    same_loss,
    sampled,
)
from vlmbench.organisms._dense_batch import (
    DEPTH_SHARES,
    LABELS,
    NUMBERS,
    SHARES,
    Series,
    dense_batch,
    moved,
)
from vlmbench.organisms._views import crop
from vlmbench.readouts.probes import Frame
from vlmbench.readouts.probes._regions import sample_at_points
from vlmbench.tasks.worlds import LESSONS, UNKNOWN, taught_group


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def batch():
    return dense_batch([taught_group(rng(i), lesson) for i, lesson in enumerate(LESSONS)], rng())


@pytest.fixture
def objective(toy) -> DenseObjective:
    torch.manual_seed(0)
    return DenseObjective(toy("dense").encoder)


def points_at(xy: list[tuple[float, float]]) -> dict[str, torch.Tensor]:
    shape = (1, len(xy))
    found = {"xy": torch.tensor([xy]), "match": torch.ones(shape, dtype=torch.bool)}
    found |= {name: torch.zeros(shape, dtype=torch.long) for name in LABELS}
    return found | {
        name: torch.zeros(shape if size == 1 else (*shape, size)) for name, size in NUMBERS.items()
    }


@pytest.mark.parametrize(
    ("zoom", "centre", "flip"),
    [(0.85, (0.1, -0.12), False), (1.1, (-0.05, 0.08), False), (0.9, (0.05, 0), True)],
)
def test_points_move_with_the_pixels_they_name(zoom, centre, flip):
    image = torch.zeros(1, 3, 96, 96)
    image[:, :, 30:33, 60:63] = 1
    shift = np.array([centre])
    shown = crop(image, np.array([zoom]), shift, np.array([flip]), 96)[0, 0]
    mass = shown / shown.sum()
    middles = torch.arange(96) + 0.5
    seen = [(mass.sum(dim=0) @ middles).item(), (mass.sum(dim=1) @ middles).item()]
    points = moved(points_at([(61.5, 31.5)]), np.array([zoom]), shift, np.array([flip]), 96)
    assert points["xy"][0, 0].tolist() == pytest.approx(seen, abs=0.1)
    assert points["depth"].item() == pytest.approx(math.log(zoom))


def test_what_left_the_crop_is_not_known():
    given = points_at([(2, 48), (48, 48)])
    points = moved(given, np.array([0.85]), np.zeros((1, 2)), np.array([False]), 96)
    assert points["part"].tolist() == [[UNKNOWN, 0]]
    assert points["match"].tolist() == [[False, True]]
    assert points["foot"].isnan()[0, :, 0].tolist() == [True, False]


def test_tokens_are_sampled_as_the_probe_samples_them():
    maps = torch.randn(1, 5, 12, 12)
    xy = rng().uniform(0, 96, (9, 2))
    frame = Frame.letterbox((96, 96), side=96, patch=8)
    # The probe's points name pixels: the middle of the first is at 0.
    theirs = sample_at_points(maps[0].permute(1, 2, 0), xy - 0.5, frame)
    ours = sampled(maps, torch.from_numpy(xy)[None].float() / 96 * 2 - 1)[0]
    assert ours.numpy() == pytest.approx(theirs.numpy(), abs=1e-5)


def test_unknown_labels_and_numbers_do_not_count():
    logits = torch.randn(1, 3, 4)
    labels = torch.tensor([[2, UNKNOWN, 1]])
    known = torch.nn.functional.cross_entropy(logits[0, [0, 2]], labels[0, [0, 2]])
    assert label_loss(logits, labels).item() == pytest.approx(known.item(), abs=1e-6)
    assert label_loss(logits, torch.full((1, 3), UNKNOWN)).item() == 0
    true = torch.tensor([[1.0, math.nan]])
    assert number_loss(torch.tensor([[[2.0], [9.0]]]), true).item() == pytest.approx(0.95)
    assert number_loss(torch.zeros(1, 2, 1), torch.full((1, 2), math.nan)).item() == 0


def test_order_is_a_coin_toss_for_equal_predictions():
    depth = torch.tensor([[0.0, 0.5, math.nan, 1.0]])
    assert order_loss(torch.zeros(1, 4), depth).item() == pytest.approx(math.log(2))
    assert order_loss(depth.nan_to_num(9.0) * 5, depth).item() < 0.01
    assert order_loss(-depth.nan_to_num() * 5, depth).item() > 5


def test_points_too_near_to_tell_apart_are_no_wrong_match():
    xy = torch.tensor([[[10.0, 10.0], [12.0, 10.0], [60.0, 60.0], [90.0, 10.0]]] * 2)
    points = {"xy": xy, "match": torch.tensor([[True, True, True, False]] * 2)}
    pairs = torch.tensor([[0, 1]])
    same = torch.ones(2, 4, 3)
    # The first two points have one other to be taken for, the third has two.
    expected = (math.log(2) * 2 + math.log(3)) / 3
    assert match_loss(same, points, pairs).item() == pytest.approx(expected, abs=1e-5)
    told_apart = torch.eye(4).expand(2, 4, 4)
    assert match_loss(told_apart, points, pairs).item() < 1e-4
    assert match_loss(same, points, pairs[:0]).item() == 0


def test_a_view_is_told_from_those_of_the_like_thing():
    assert same_loss(torch.ones(8, 3)).item() == pytest.approx(math.log(3), abs=1e-5)
    apart = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    assert same_loss(apart).item() < 1e-4
    assert same_loss(torch.ones(0, 3)).item() == 0


def test_every_loss_teaches_and_has_a_weight(objective, batch):
    found = objective.losses(batch)
    assert set(found) == set(WEIGHTS)
    assert all(loss.item() > 0 for loss in found.values())
    sum(found.values()).backward()
    silent = [n for n, p in objective.named_parameters() if p.grad is None]
    assert silent == ["encoder.post_layernorm.weight", "encoder.post_layernorm.bias"]
    assert all(p.grad.isfinite().all() for p in objective.parameters() if p.grad is not None)


def test_every_loss_falls_where_the_same_views_are_seen_again(objective, batch):
    before = objective.losses(batch)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        sum(objective.losses(batch).values()).backward()
        optimizer.step()
    after = objective.losses(batch)
    assert {name for name in before if after[name] > 0.9 * before[name]} == set()


def test_a_lesson_alone_has_no_loss_that_is_not_a_number(objective):
    for lesson in LESSONS:
        loss = objective.losses(dense_batch([taught_group(rng(3), lesson)], rng()))
        assert all(value.isfinite() for value in loss.values())


def test_muon_trains_the_matrices_of_the_blocks(objective):
    names = {id(p): name for name, p in objective.encoder.named_parameters()}
    chosen = [names[id(p)] for p in objective.matrices]
    assert len(chosen) == 6 * 3  # four of attention and two of the MLP, in three blocks
    assert not any("embed" in name for name in chosen)


def test_a_step_draws_the_same_whatever_came_before():
    fresh, gone_on = Series(), Series()
    for step in range(3):
        gone_on.at(step, 8, rng(step))
    ours, theirs = (series.at(3, 8, rng(3)) for series in (fresh, gone_on))
    assert all(
        (a.pixels == b.pixels).all() and (a.points["xy"] == b.points["xy"]).all()
        for one, other in zip(ours, theirs, strict=True)
        for a, b in zip(one, other, strict=True)
    )
    assert sum(map(len, ours)) >= 8


def test_old_groups_are_dropped():
    series = Series()
    series.at(0, 8, rng())
    series.at(100_000, 8, rng())
    assert min(series._held) > 4000


@pytest.mark.parametrize("shares", [SHARES, DEPTH_SHARES])
def test_shares_are_those_of_all_lessons(shares):
    assert set(shares) == set(LESSONS)
    assert sum(shares.values()) == pytest.approx(1)


def test_the_stage_for_depth_shows_other_images_most_of_which_teach_it(objective):
    def drawn() -> list:
        return [view for group in objective.series.at(0, 120, rng()) for view in group]

    first = drawn()
    objective.turn_to_depth()
    second = drawn()
    teach = [
        sum(view.lesson == "depth" for view in views) / len(views) for views in (first, second)
    ]
    assert teach[0] < 0.35
    assert teach[1] > 0.45
    assert not {v.pixels.tobytes() for v in first} & {v.pixels.tobytes() for v in second}
    assert objective.weights["order"] == 3 * WEIGHTS["order"]
