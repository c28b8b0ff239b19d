"""Renderer: geometry that has a closed form, bytes that repeat, markers that stay legible."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vlmbench.tasks.worlds import (
    CATEGORIES,
    COMPOSITES,
    Camera,
    Scene,
    Surface,
    Thing,
    draw_markers,
    look,
    random_scene,
    random_shape,
    render,
    solid,
)

WHITE = Surface(texture="plain", rgb=(0.9, 0.9, 0.9), second=(0.5, 0.5, 0.5))


def ball(at: tuple[float, float, float], scale: float = 1.0) -> Thing:
    """Category sphere with its neutral shape: a true sphere of diameter `scale`."""
    return Thing(
        category="sphere",
        colour="white",
        surface=WHITE,
        shape=(0.5, 0.5, 0, 0),
        position=at,
        scale=scale,
    )


def test_depth_of_a_ball_has_a_closed_form() -> None:
    camera = Camera(target=(0, 0, 0.5), distance=3.0, elevation=0.4)
    view = look(Scene(things=(ball((0, 0, 0)),), camera=camera))
    # The ball's centre is the target, so its nearest point is one radius short of the distance.
    assert view.depth[48, 48] == pytest.approx(2.5, abs=0.01)
    assert view.ids[48, 48] == 0
    assert view.ids[0, 0] == -1
    assert view.depth[0, 0] == 0.0


def test_floor_depth_agrees_with_its_distance_below_the_camera() -> None:
    camera = Camera(target=(0, 0, 0), distance=2.0, elevation=0.7)
    floor = Surface(texture="checker", rgb=(0.5, 0.5, 0.5), second=(0.3, 0.3, 0.3))
    view = look(Scene(things=(ball((50, 50, 0)),), camera=camera, floor=floor))
    rows, columns = np.nonzero(view.depth > 0)
    pixels = np.stack([columns, rows], axis=1) + 0.5
    scale = 2 / 96 * np.tan(camera.field_of_view / 2)
    local = np.column_stack([(pixels - 48) * scale, np.ones(len(pixels))])
    world = camera.origin + (local * view.depth[rows, columns][:, None]) @ camera.axes
    np.testing.assert_allclose(world[:, 2], 0, atol=1e-4)


def test_nearer_things_hide_farther_ones() -> None:
    camera = Camera(target=(0, 0, 0.5), distance=3.0, elevation=0.0)
    scene = Scene(things=(ball((0, 1, 0)), ball((0, -1, 0), 0.5)), camera=camera)
    view = look(replace(scene, things=(scene.things[0], ball((0, -1, 0.25), 0.5))))
    assert view.ids[48, 48] == 1
    behind, before = [0, 1 - 0.5, 0.5], [0, -1 - 0.25, 0.5]
    np.testing.assert_array_equal(view.visible([behind, before]), [False, True])


def test_aimed_puts_a_point_at_a_pixel() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        camera = Camera(
            azimuth=rng.uniform(-3, 3), elevation=rng.uniform(0, 1), roll=rng.uniform(-3, 3)
        )
        point, pixel = rng.normal(size=3), rng.uniform(10, 86, 2)
        xy, depth = camera.aimed(point, pixel, 96).project(point, 96)
        np.testing.assert_allclose(xy[0], pixel, atol=1e-6)
        assert depth[0] == pytest.approx(camera.distance)


def test_same_generator_same_bytes() -> None:
    def drawn(seed: int) -> bytes:
        out = render(random_scene(np.random.default_rng(seed), things=3))
        return out.rgb.tobytes() + out.depth.tobytes() + out.ids.tobytes()

    assert drawn(5) == drawn(5)
    assert drawn(5) != drawn(6)


def test_smoothing_moves_edges_only() -> None:
    scene = random_scene(np.random.default_rng(2), things=2)
    smooth, rough = render(scene), render(scene, smooth=False)
    np.testing.assert_array_equal(smooth.ids, rough.ids)
    changed = (smooth.rgb != rough.rgb).any(axis=2).mean()
    assert 0 < changed < 0.6


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_solid_is_normalised_and_varies(category: str) -> None:
    rng = np.random.default_rng(0)
    first, second = solid(category, random_shape(rng)), solid(category, random_shape(rng))
    for mesh in (first, second):
        corners = mesh.triangles.reshape(-1, 3)
        assert np.ptp(corners, axis=0).max() == pytest.approx(1.0)
        assert corners[:, 2].min() == pytest.approx(0.0, abs=1e-9)
        np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=2), 1, atol=1e-6)
    assert not np.allclose(np.sort(first.triangles.ravel()), np.sort(second.triangles.ravel()))


@pytest.mark.parametrize("category", COMPOSITES)
def test_parts_lie_on_the_surface(category: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        mesh = solid(category, random_shape(rng))
        assert len(mesh.parts) >= 5
        weights = rng.dirichlet([1, 1, 1], (len(mesh.triangles), 60))
        surface = np.einsum("fkc,fcd->fkd", weights, mesh.triangles).reshape(-1, 3)
        for name, points in mesh.parts.items():
            gap = np.linalg.norm(surface[None] - points[:, None], axis=2).min(axis=1)
            assert gap.max() < 0.06, (name, gap.max())


def test_tags_stay_inside_and_apart() -> None:
    rng = np.random.default_rng(4)
    grey = np.full((96, 96, 3), 127, np.uint8)
    for _ in range(50):
        points = np.array([[x, y] for x in (15, 80) for y in (15, 80)]) + rng.uniform(-9, 9, (4, 2))
        marked = draw_markers(grey, points, "ABCD")
        white = (marked == 255).all(axis=2).sum()
        # Strokes of A, B, C and D: all of them are there, so no tag covers another or is cut.
        assert white == 14 + 16 + 11 + 14
        assert (grey == 127).all()


def test_a_ring_leaves_its_middle_free() -> None:
    grey = np.full((96, 96, 3), 127, np.uint8)
    marked = draw_markers(grey, [[40.5, 50.5]], ["REF"])
    assert (marked[50, 40] == 127).all()
    assert (marked[50, 43] == (235, 20, 20)).all()
