from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from home import ROOT, loaded_by

from vlmbench.organisms import load_recipe
from vlmbench.organisms._curves import curves_svg
from vlmbench.organisms._recipe import SCHEMA, ImagesRecipe, digest, write_schema
from vlmbench.types import VlmbenchError

RECIPES = ROOT / "models" / "recipes"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_load_and_name_themselves(path):
    assert load_recipe(path).organism == path.stem
    assert path.read_text().splitlines()[0].endswith("organisms/recipe.schema.json")


def test_depth_is_a_stage_of_dense_encoders_alone(tmp_path):
    text = (RECIPES / "tiny-dense.yaml").read_text()
    assert load_recipe(RECIPES / "tiny-dense.yaml").depth.steps == 3000
    path = tmp_path / "bad.yaml"
    path.write_text(text.replace("objective: dense", "objective: supervised"))
    with pytest.raises(VlmbenchError, match="`depth` is a stage of `objective: dense` alone"):
        load_recipe(path)


def test_every_mistake_is_told(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("organism: huge\nimages: {single: 1, several: 0, marked: -1}\nstepz: 3\n")
    with pytest.raises(VlmbenchError) as caught:
        load_recipe(path)
    fields = {problem.field for problem in caught.value.problems}
    parts = {"encoder", "language", "vision", "pointing"}
    assert parts | {"organism", "images.marked", "stepz"} == fields


def test_the_shipped_schema_is_current(tmp_path):
    write_schema(tmp_path / "recipe.schema.json")
    assert (tmp_path / "recipe.schema.json").read_text() == SCHEMA.read_text()


def test_digests_change_with_what_they_stand_for():
    a = ImagesRecipe(single=1, several=0, marked=0)
    b = ImagesRecipe(single=1, several=0, marked=1)
    assert digest(a) == digest(a)
    assert len({digest(a), digest(b), digest(a, "x"), digest(b, "x")}) == 4


def test_curves_hold_every_stage():
    lines = [
        json.dumps({"stage": stage, "step": step, "loss": 1.0 / step})
        for stage in ("letters", "encoder")
        for step in (20, 40, 60, 80, 60)  # stopped after 80, begun again from 40
    ]
    drawn = curves_svg("\n".join(lines))
    assert drawn == curves_svg("\n".join(lines))
    root = ElementTree.fromstring(drawn)
    svg = "{http://www.w3.org/2000/svg}"
    assert {"letters", "encoder", "loss", "step"} <= {text.text for text in root.iter(f"{svg}text")}
    curves = [path for path in root.iter(f"{svg}path") if "#1f4e79" in path.get("style", "")]
    assert [path.get("d").count("L") for path in curves] == [3, 3]


def test_importing_the_package_loads_no_torch():
    assert loaded_by("import vlmbench.organisms") == set()
