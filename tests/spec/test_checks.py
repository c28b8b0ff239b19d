"""What has to fit together within a spec: each rule fires once, and a sound spec passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from vlmbench.spec import load_files

POINTS = {"kind": "point", "column": "xy"}
PLACES = {"kind": "point", "column": "points"}
IMAGES = {"kind": "image", "images": [0, 1, 2]}


def task(**changes: Any) -> dict[str, Any]:
    """A sound three-image task; `None` drops a key, dotted keys reach inside."""
    values: dict[str, Any] = {
        "task": "t",
        "dataset_path": "json",
        "training_split": "train",
        "validation_split": "validation",
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "<image><image><image> {{ question }}",
        "doc_to_image": ["a", "b", "c"],
        "doc_to_choice": ["A", "B", "C"],
        "doc_to_target": "gold",
        "metadata": {"vlmbench": {"ability": "x"}},
    }
    bench = values["metadata"]["vlmbench"]
    for key, value in changes.items():
        inside = {"regions", "probe", "generator", "encoder_images", "markers", "points"}
        target = bench if key in inside else values
        target[key] = value
    regions = bench.get("regions", {})
    kinds = {regions[name]["kind"] for name in ("reference", "choices") if name in regions}
    if kinds & {"point", "box"} and "markers" not in changes:
        bench["markers"] = "drawn"
    return {key: value for key, value in values.items() if value is not None}


def free(**changes: Any) -> dict[str, Any]:
    """A sound task that is answered in free text."""
    return task(output_type="generate_until", doc_to_choice=None, **changes)


def pattern(text: object) -> list[dict[str, Any]]:
    """A list of filters with one pattern."""
    return [{"name": "f", "filter": [{"function": "regex", "regex_pattern": text}]}]


def model(**changes: Any) -> dict[str, Any]:
    values = {"model": "m", "checkpoint": "owner/m"} | changes
    return {key: value for key, value in values.items() if value is not None}


def found(folder: Path, values: dict[str, Any]) -> list[tuple[str, str]]:
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    problems = load_files([path]).problems
    assert all(p.file == str(path) and p.line is not None for p in problems)
    return [(problem.field, problem.message) for problem in problems]


SOUND = [
    task(),
    task(doc_to_text="question"),
    task(doc_to_text="{{ question }}"),
    task(doc_to_image="images", doc_to_text="look {{ question }}"),
    task(regions={"reference": POINTS, "choices": PLACES}, probe={"kind": "keypoint"}),
    task(regions={"choices": PLACES}, probe={"kind": "depth", "depth_column": "d"}),
    task(regions={"choices": {"kind": "box", "column": "b"}},
         probe={"kind": "depth", "depth_column": "d"}),
    task(regions={"choices": PLACES}, markers={}),
    task(regions={"choices": PLACES}, markers={"shape": "disc", "colour": [0, 90, 255]}),
    task(regions={"choices": PLACES}, markers="text"),
    task(regions={"choices": PLACES, "missing": "skip"}, markers="drawn",
         encoder_images=["d", "e", "f"], points={"kind": "markers", "file": "p.jsonl"}),
    task(regions={"choices": IMAGES}, probe={"kind": "odd_one_out"}),
    task(regions={"reference": {"kind": "image", "images": [0]},
                  "choices": {"kind": "image", "images": [1, 2]}},
         probe={"kind": "gram"}, doc_to_choice=["A", "B"]),
    task(probe={"kind": "linear", "label_column": "l", "choices_column": "c"}),
    task(output_type="generate_until", generation_kwargs={"until": ["\n"], "max_gen_toks": 8}),
    task(metadata={"version": 2, "source": {"title": "a book"}, "condition": "good"}),
    free(),
    free(metric_list=[{"metric": "bleu"}, {"metric": "exact_match", "ignore_case": True}]),
    model(),
    model(prompt={"chat_template": "none", "wrapper": "USER: {{ prompt }} ASSISTANT:"}),
    model(checkpoint=None, recorded=[{"task": "t", "accuracy": 0.8, "n": 9}]),
    model(checkpoint=None, recorded=[{"task": "t", "column": "human"}]),
    model(twin={"layer": -2, "relation": "identical"}),
    model(twin={"layer": -2, "relation": "lineage", "checkpoint": "owner/vit"}),
    {"study": "s", "cells": [{"readout": "prompted"},
                             {"readout": "prompted", "condition": {"image": "blank"}}]},
]  # fmt: skip


@pytest.mark.parametrize("values", SOUND)
def test_sound_specs_pass(tmp_path: Path, values: dict[str, Any]) -> None:
    assert found(tmp_path, values) == []


F = "filter_list"
R = "metadata.vlmbench.regions"
M = "metadata.vlmbench.markers"
UNSOUND = [
    (task(dataset_path=None), "dataset_path", "no data"),
    (task(test_split=None, validation_split=None), "test_split", "no split"),
    (task(doc_to_choice=None), "doc_to_choice", "missing"),
    (free(metric_list=[{"metric": "bleu"}]), "metric_list", "bleu cannot credit each"),
    (free(metric_list=[{"metric": "exact_match", "aggregation": "f1"}]), "metric_list", "each"),
    (free(regions={"choices": IMAGES}), "metadata.vlmbench.regions", "free text has none"),
    (free(probe={"kind": "linear", "label_column": "l", "choices_column": "c"}),
     "metadata.vlmbench.probe", "free text has none"),
    (task(filter_list=pattern("(")), f"{F}.0.filter.0.regex_pattern", "not a regular expression"),
    (task(filter_list=pattern(3)), f"{F}.0.filter.0.regex_pattern", "not a regular expression"),
    (task(filter_list=pattern("a" * 10_001)), f"{F}.0.filter.0.regex_pattern", "10,001 characters"),
    (task(metadata={"vlmbnech": {"ability": "x"}}), "metadata.vlmbnech", "nothing reads"),
    (task(metadata={"condition": {"image": "blank"}}), "metadata.condition", "not read here"),
    (task(doc_to_choice=["A"]), "doc_to_choice", "nothing to choose"),
    (task(doc_to_choice=["A", "B", "A"]), "doc_to_choice", "twice"),
    (task(doc_to_target=3), "doc_to_target", "3 is not an index into 3"),
    (task(doc_to_image="{{ image }}", doc_to_text="question"), "doc_to_image", "is a template"),
    (task(doc_to_text="<image><image> which?"), "doc_to_text", "2 `<image>` for the 3"),
    (task(doc_to_text="which one is it?"), "doc_to_text", "0 `<image>` for the 3"),
    (task(doc_to_text="<image>" * 4 + "{{ question }}"), "doc_to_text", "4 `<image>` for the 3"),
    (task(encoder_images=["a"]), "metadata.vlmbench.encoder_images", "1 columns for the 3"),
    (task(regions={"choices": {"kind": "point", "column": "p", "image": 3}}),
     f"{R}.choices.image", "no image 3"),
    (task(regions={"choices": {"kind": "image", "images": [0, 1, 5]}}),
     f"{R}.choices.images.2", "no image 5"),
    (task(regions={"choices": {"kind": "image", "images": [0, -1, 1]}}),
     f"{R}.choices.images.1", "no image -1"),
    (task(regions={"choices": {"kind": "image", "images": [0, 1, 1]}}),
     f"{R}.choices.images", "twice"),
    (task(regions={"choices": {"kind": "image", "images": [0, 1]}}),
     f"{R}.choices.images", "2 images for the 3"),
    (task(regions={"choices": IMAGES, "reference": {"kind": "image", "images": [0]}}),
     f"{R}.choices.images", "reference image is also"),
    (task(regions={"choices": PLACES, "reference": {"kind": "image", "images": [0, 1]}}),
     f"{R}.reference.images", "a reference is a single"),
    (task(probe={"kind": "keypoint"}), R, "needs regions"),
    (task(probe={"kind": "keypoint"}, regions={"choices": PLACES}), f"{R}.reference", "needs a"),
    (task(probe={"kind": "keypoint"},
          regions={"reference": POINTS, "choices": {"kind": "box", "column": "b"}}),
     f"{R}.choices.kind", "not box"),
    (task(probe={"kind": "depth", "depth_column": "d"}, regions={"choices": IMAGES}),
     f"{R}.choices.kind", "not image"),
    (task(probe={"kind": "depth", "depth_column": "d"},
          regions={"reference": POINTS, "choices": PLACES}), f"{R}.reference", "takes none"),
    (task(probe={"kind": "gram"}, regions={"choices": IMAGES}), f"{R}.reference", "needs a refer"),
    (task(probe={"kind": "gram"}, regions={"reference": POINTS, "choices": IMAGES}),
     f"{R}.reference", "not point"),
    (task(probe={"kind": "odd_one_out"}, regions={"choices": PLACES}), f"{R}.choices.kind", "not"),
    (task(probe={"kind": "odd_one_out"}, doc_to_choice=["A", "B"],
          regions={"choices": {"kind": "image", "images": [0, 1]}}),
     f"{R}.choices.images", "at least 3 images, not 2"),
    (task(probe={"kind": "depth", "depth_column": "d"}, regions={"choices": PLACES},
          training_split=None), "training_split", "is fitted"),
    (task(probe={"kind": "linear", "label_column": "l", "choices_column": "c"},
          validation_split="test"), "validation_split", "also the test split"),
    (task(probe={"kind": "linear", "label_column": "l", "choices_column": "c"},
          generator={"world": "w", "train": 5}),
     "metadata.vlmbench.generator.validation", "needs documents"),
    (task(regions={"choices": PLACES}, markers=None), M, "nothing says how the model is shown"),
    (task(regions={"reference": POINTS, "choices": IMAGES}, markers=None), M, "points or boxes"),
    (task(markers={}), M, "no points or boxes that could be shown"),
    (task(regions={"choices": IMAGES}, markers="drawn"), M, "no points or boxes"),
    (task(regions={"choices": PLACES, "missing": "skip"}, markers={}), f"{R}.missing", "draw`"),
    (task(regions={"choices": PLACES, "missing": "skip"}, markers="text"), f"{R}.missing", "text`"),
    (task(regions={"choices": PLACES}, markers={}, encoder_images=["d", "e", "f"]),
     "metadata.vlmbench.encoder_images", "carry no markers"),
    (task(regions={"choices": PLACES}, markers={}, points={"kind": "markers", "file": "p.jsonl"}),
     M, "joined to images that carry markers"),
    (model(checkpoint=None), "checkpoint", "has no checkpoint"),
    (model(recorded=[{"task": "t", "column": "h"}]), "checkpoint", "`checkpoint` does not apply"),
    (model(rule="text"), "checkpoint", "a model with `rule` has no weights"),
    (model(checkpoint=None, rule="text", recorded=[{"task": "t", "column": "h"}]), "rule", "both"),
    (model(checkpoint=None, rule="text", backend="hf"), "backend", "`backend` does not apply"),
    (model(checkpoint=None, recorded=[{"task": "t"}]), "recorded.0", "column"),
    (model(checkpoint=None,
           recorded=[{"task": "t", "column": "h"}, {"task": "u", "accuracy": 0.5}]),
     "recorded.1.n", "number of documents"),
    (model(checkpoint=None,
           recorded=[{"task": "t", "accuracy": 0.5, "n": 4, "low": 0.1}]),
     "recorded.0", "both `low`"),
    (model(checkpoint=None,
           recorded=[{"task": "t", "accuracy": 0.5, "n": 4, "low": 0.6, "high": 0.9}]),
     "recorded.0.low", "does not contain 0.5"),
    (model(twin={"layer": -2, "relation": "finetuned"}), "twin.relation", "own tower"),
    (model(prompt={"wrapper": "{{ prompt }}"}), "prompt.wrapper", "exclude each other"),
    (model(prompt={"wrapper": "USER:", "chat_template": "none"}), "prompt.wrapper", "gets lost"),
    (model(prompt={"wrapper": "{{ prompt }}{{ x }}", "chat_template": "none"}),
     "prompt.wrapper", "`x` is unknown"),
    (model(prompt={"wrapper": "{{ prompt", "chat_template": "none"}), "prompt.wrapper", "Jinja"),
    ({"study": "s", "cells": [{"readout": "encoder"}, {"readout": "encoder", "condition": {}}]},
     "cells.1", "encoder/own is given twice"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "field", "says"), UNSOUND)
def test_each_misfit_is_the_only_problem(
    tmp_path: Path, values: dict[str, Any], field: str, says: str
) -> None:
    ((found_field, message),) = found(tmp_path, values)
    assert found_field == field
    assert says in message
