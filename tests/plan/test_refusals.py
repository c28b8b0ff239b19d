"""What cannot be is refused before anything runs, with its reason; the rest is planned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vlmbench.plan import Plan, cell_key, make_plan
from vlmbench.registry import catalogue
from vlmbench.spec import load_file

TASK = """\
task: {name}
dataset_path: json
test_split: test
output_type: multiple_choice
doc_to_text: "{text}?"
doc_to_image: {images}
doc_to_choice: [A, B]
doc_to_target: gold
metadata:
  vlmbench:
    ability: naming
    generator: {{world: naming, test: 50}}
    {more}
"""
POINTS = """\
regions: {choices: {kind: point, column: p}, reference: {kind: point, column: r}}
    markers: drawn
    probe: {kind: keypoint}"""
WHOLE = """\
regions: {choices: {kind: image, images: [1, 2]}, reference: {kind: image, images: [0]}}
    probe: {kind: gram}"""
ONE = {"text": "<image>", "images": "[a]"}
THREE = {"text": "<image>" * 3, "images": "[a, b, c]"}
CONFIG = {
    "model_type": "llava",
    "image_seq_length": 64,
    "text_config": {"max_position_embeddings": 512},
}


def plan(
    folder: Path,
    cells: str,
    *,
    config: object = None,
    transform: object = None,
    model: str = "",
    hints: str = "",
) -> Plan:
    (folder / "checkpoint").mkdir(exist_ok=True)
    (folder / "checkpoint" / "config.json").write_text(json.dumps(config or CONFIG))
    (folder / "checkpoint" / "preprocessor_config.json").write_text(json.dumps(transform or {}))
    files = {
        "points.yaml": TASK.format(name="points", more=POINTS, **ONE),
        "whole.yaml": TASK.format(name="whole", more=WHOLE, **THREE),
        "bare.yaml": TASK.format(name="bare", more="", **ONE),
        "model.yaml": "model: m\ncheckpoint: checkpoint\n"
        f"twin: {{layer: -2, relation: identical}}\n{model}",
        "study.yaml": f"study: s\n{hints}cells:\n{cells}",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    load = lambda name: load_file(folder / name)
    return make_plan(
        [load("model.yaml")],
        [load(f"{name}.yaml") for name in ("points", "whole", "bare")],
        load("study.yaml"),
        count=lambda task: task.spec.bench.generator.test,
    )


def cells(*rows: str) -> str:
    return "".join(f"  - {{{row}}}\n" for row in rows)


def reasons(made: Plan, label: str, readout: str = "prompted") -> dict[str, str]:
    return {
        s.task: s.reason
        for s in made.skipped
        if (s.condition.label, s.readout.label) == (label, readout)
    }


def test_evidence_needs_places(tmp_path):
    made = plan(tmp_path, cells("readout: prompted, condition: evidence", "readout: prompted"))
    found = reasons(made, "evidence")
    assert "metadata.vlmbench.regions" in found["bare"]
    assert "whole images" in found["whole"]
    assert "points" not in found
    assert len(made.cells) == 3 + 1  # everything else still runs


@pytest.mark.parametrize(
    ("condition", "refused", "words"),
    [
        ("own+hint-wrong-weak", {"points", "whole"}, "does not read the prompt"),
        ("own+filler-64-after", {"points", "whole"}, "does not read the prompt"),
        ("none", {"points", "whole"}, "without an image"),
        ("own+single", {"points", "whole"}, "batches"),
        ("swapped", {"points"}, "wrong pixels"),
        ("crop-0.5", {"points"}, "wrong pixels"),
        ("blur-0.5", set(), ""),
        ("scrambled-8", set(), ""),
        ("blank-mean", set(), ""),
    ],
)
def test_what_an_encoder_cannot_answer_under(tmp_path, condition, refused, words):
    made = plan(tmp_path, cells(f"readout: encoder, condition: {condition}"))
    found = reasons(made, condition, "encoder")
    assert set(found) == refused | {"bare"}  # which has no probe
    assert all(words in found[name] for name in refused)


COORDINATES = POINTS.replace("markers: drawn", "markers: text")
PAIR = {"text": "<image>" * 2, "images": "[a, b]"}


def told(
    folder: Path, condition: str, *, shown: dict[str, str] = ONE, **keys: object
) -> dict[str, str]:
    """Return why a task that gives coordinates is not asked, by readout."""
    (folder / "told.yaml").write_text(TASK.format(name="told", more=COORDINATES, **shown))
    rows = (f"readout: {name}, condition: {condition}" for name in ("prompted", "encoder"))
    made = plan(folder, cells(*rows), **keys)
    task, count = load_file(folder / "told.yaml"), lambda _: 50
    made = make_plan(list(made.models), [task], load_file(folder / "study.yaml"), count=count)
    return {skipped.readout.label: skipped.reason for skipped in made.skipped}


@pytest.mark.parametrize("condition", ["own", "blur-0.5", "blank", "swapped", "evidence"])
def test_coordinates_in_a_prompt_hold_where_places_stay_or_nothing_is_left(tmp_path, condition):
    assert "prompted" not in told(tmp_path, condition)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"condition": "crop-0.5"}, "'crop-0.5' the coordinates in the prompts of task 'told'"),
        ({"model": "image: {letterbox: 96}\n"}, "padded to a square (`image.letterbox`)"),
        ({"model": "image: {several: join}\n", "shown": PAIR}, "joined into one"),
        ({"transform": {"do_center_crop": True}}, "the processor of model 'm' cuts their edges"),
    ],
)
def test_coordinates_that_would_name_other_pixels_are_refused(tmp_path, keys, words):
    found = told(tmp_path, keys.pop("condition", "own"), **keys)
    assert words in found["prompted"]
    assert "encoder" not in found or "crop-0.5" in found["encoder"]


@pytest.mark.parametrize(
    "keys",
    [{"model": "image: {several: join}\n"}, {"transform": {"do_center_crop": False}}],
)
def test_coordinates_are_asked_of_models_that_see_the_image_whole(tmp_path, keys):
    assert told(tmp_path, "own", **keys) == {}


def test_markers_follow_the_pixels_wherever_these_go(tmp_path):
    rows = cells("readout: prompted, condition: crop-0.5")
    assert not plan(tmp_path, rows, model="image: {letterbox: 96}\n").skipped


def test_a_family_that_needs_an_image_is_not_asked_without(tmp_path):
    wanted = cells("readout: prompted, condition: none", "readout: prompted")
    assert not reasons(plan(tmp_path, wanted), "none")
    (tmp_path / "other").mkdir()
    found = reasons(plan(tmp_path / "other", wanted, config={"model_type": "paligemma"}), "none")
    assert set(found.values()) == {"PaliGemma cannot be asked without an image"}


def test_fillers_must_fit_the_context(tmp_path):
    rows = [f"readout: prompted, condition: own+filler-{n}-before" for n in (256, 320, 321)]
    made = plan(tmp_path, cells(*rows))  # 512 = 320 of filler + 64 of the image + 128
    assert set(reasons(made, "own+filler-320-before")) == {"whole"}  # which has three images
    found = reasons(made, "own+filler-321-before")
    assert "513" in found["bare"]
    assert "takes at most 512" in found["bare"]


def test_an_unknown_context_refuses_nothing(tmp_path):
    rows = cells("readout: prompted, condition: own+filler-100000-before")
    assert not plan(tmp_path, rows, config={"model_type": "llava"}).skipped


def test_servers_batch_by_themselves_and_show_no_inside(tmp_path):
    server = "backend: openai\nserver: {base_url: 'http://localhost:1/v1'}\n"
    rows = cells("readout: prompted, condition: own+single", "readout: internals")
    made = plan(tmp_path, rows, model=server)
    assert "batches itself" in reasons(made, "own+single")["bare"]
    assert "'openai' does not show the inside" in reasons(made, "own", "internals")["bare"]


def test_a_tower_that_the_backend_does_not_show_is_not_read(tmp_path):
    server = "backend: openai\nserver: {base_url: 'http://localhost:1/v1'}\n"
    made = plan(tmp_path, cells("readout: prompted", "readout: encoder"), model=server)
    assert "not give access to the tower" in reasons(made, "own", "encoder")["points"]
    assert "points" not in reasons(made, "own")


def test_internals_compare_nothing_without_images(tmp_path):
    made = plan(tmp_path, cells("readout: internals, condition: none", "readout: internals"))
    assert "no image states" in reasons(made, "none", "internals")["bare"]
    assert not reasons(made, "own", "internals")


def test_a_cap_bounds_the_cost_and_belongs_to_the_key(tmp_path):
    row = "readout: prompted, condition: swapped"
    capped = plan(tmp_path, cells(f"{row}, documents: 20"))
    whole = plan(tmp_path, cells(row))
    above = plan(tmp_path, cells(f"{row}, documents: 80"))
    costs = [(p.cells[0].documents, p.cells[0].forward_passes) for p in (capped, whole, above)]
    assert costs == [(20, 20), (50, 50), (50, 50)]
    assert cell_key(capped.cells[0], capped) != cell_key(whole.cells[0], whole)


def test_cells_that_a_blind_variant_makes_equal_keep_the_larger_cap(tmp_path):
    blind = "condition: {image: blank}"
    for order in ([30, 20], [20, 30], [None, 20], [20, None]):
        rows = [
            f"readout: prompted, condition: {label}" + (f", documents: {n}" if n else "")
            for label, n in zip(("own", "swapped"), order, strict=True)
        ]
        (tmp_path / "study.yaml").write_text(f"study: s\ncells:\n{cells(*rows)}")
        (tmp_path / "t.yaml").write_text(TASK.format(name="t", more=blind, **ONE))
        (tmp_path / "m.yaml").write_text("model: m\ncheckpoint: nowhere\n")
        load = lambda name: load_file(tmp_path / name)
        made = make_plan([load("m.yaml")], [load("t.yaml")], load("study.yaml"), count=lambda _: 50)
        (cell,) = made.cells
        assert cell.condition.label == "blank"
        assert cell.first == (None if None in order else 30)


def test_the_words_belong_to_the_key_of_what_uses_them(tmp_path):
    rows = cells("readout: prompted", "readout: prompted, condition: own+hint-wrong-weak")
    one = plan(tmp_path, rows)
    other = plan(tmp_path, rows, hints="hints: {weak: 'Maybe {{ choice }}.'}\n")
    keys = [[cell_key(cell, made) for cell in made.cells[:2]] for made in (one, other)]
    assert keys[0][0] == keys[1][0]
    assert keys[0][1] != keys[1][1]


def test_the_diagnose_study_keeps_to_its_budget():
    found = catalogue()
    (study,) = found.select_studies("diagnose")
    (gap,) = found.select_studies("gap")
    models = found.select_models("tiny-clip")
    tasks = found.select_tasks("depth,naming")
    count = lambda task: task.spec.bench.generator.test
    cost = {}
    for located in (study, gap):
        made = make_plan(models, tasks, located, count=count)
        cost[located.spec.study] = {
            task: sum(
                cell.forward_passes
                for cell in made.cells
                if cell.task.spec.task == task and cell.readout.answers
            )
            for task in ("depth", "naming")
        }
    assert cost["gap"] == {"depth": 600, "naming": 600}
    assert all(n <= 6 * 600 for n in cost["diagnose"].values())
    refused = {
        (s.task, s.condition.label): s.reason
        for s in make_plan(models, tasks, study, count=count).skipped
    }
    assert set(refused) == {
        ("naming", "evidence"), ("naming", "evidence-random"),
        *(
            (t, f"{image}+filler-4096-{p}")
            for t in ("depth", "naming")
            for image in ("own", "swapped")
            for p in ("before", "after")
        ),
    }  # fmt: skip


SHALLOW = {**CONFIG, "text_config": {"num_hidden_layers": 3}}


@pytest.mark.parametrize(
    ("condition", "config", "words"),
    [
        ("own+knockout-last-1-4", SHALLOW, "3 layers, too few"),
        ("own+knockout-last-1-3", SHALLOW, ""),
        ("own+knockout-last-1-4", CONFIG, ""),  # a config need not say how many there are
        ("none+knockout-all-1-1", CONFIG, "nothing for `knockout-all-1-1` to change"),
        ("none+patch-other-0.5", CONFIG, "nothing for `patch-other-0.5` to change"),
        ("own+patch-other-0.5", {"model_type": "qwen3_vl"}, "further up, past a patch"),
        ("own+knockout-all-1-1", {"model_type": "qwen3_vl"}, ""),
        ("own+patch-other-0.5", {"model_type": "mllama"}, "cross-attention"),
        ("own+knockout-all-1-1", {"model_type": "lfm2_vl"}, "convolve"),
    ],
)
def test_what_cannot_be_done_in_a_forward_pass(tmp_path, condition, config, words):
    made = plan(tmp_path, cells(f"readout: prompted, condition: {condition}"), config=config)
    found = reasons(made, condition)
    assert set(found) == ({"points", "whole", "bare"} if words else set())
    assert all(words in reason for reason in found.values())


def test_a_server_is_not_reached_into_and_an_encoder_has_no_language_model(tmp_path):
    rows = (
        "readout: prompted, condition: own+knockout-all-1-1",
        "readout: encoder, condition: own+patch-other-0.5",
    )
    server = "backend: openai\ncheckpoint: x\nserver: {base_url: 'http://localhost:1/v1'}\n"
    made = plan(tmp_path, cells(*rows))
    found = reasons(made, "own+patch-other-0.5", "encoder")
    assert "does not reach the encoder" in found["points"]
    served = tmp_path / "served.yaml"
    served.write_text(f"model: s\n{server}")
    tasks = [load_file(tmp_path / "bare.yaml")]
    study = load_file(tmp_path / "study.yaml")
    made = make_plan([load_file(served)], tasks, study, count=lambda _: 50)
    assert "does not show the inside" in reasons(made, "own+knockout-all-1-1")["bare"]


def test_images_that_are_files_are_not_drawn_anew(tmp_path):
    made = plan(tmp_path, cells("readout: prompted, condition: counterfactual"))
    assert not made.skipped  # whether their world can is seen once it is asked
    drawn = "    generator: {world: naming, test: 50}\n"
    (tmp_path / "files.yaml").write_text(
        TASK.format(name="files", more="", **ONE).replace(drawn, "")
    )
    tasks = [load_file(tmp_path / "files.yaml")]
    study = load_file(tmp_path / "study.yaml")
    made = make_plan(list(made.models), tasks, study, count=lambda _: 50)
    assert "not drawn here" in reasons(made, "counterfactual")["files"]
