"""Which documents belong together: by a column, or by the image files that they share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from home import Home, document, noise, stats_of, vlmbench

from vlmbench.readouts._reading import Answer, make_reading
from vlmbench.store import RunFolder
from vlmbench.tasks import clustered
from vlmbench.types import clusters_of

A, B, C, D, E, F, G = (noise(seed) for seed in range(7))


def groups(*pictures, column=None):
    documents = [document(i, *images) for i, images in enumerate(pictures)]
    return clusters_of(clustered(documents, column)).tolist()


def test_documents_that_share_no_file_stand_alone():
    assert groups([A], [B], [C, D]) == [0, 1, 2]


def test_a_shared_file_links_documents_and_links_chain():
    assert groups([A, B], [C], [B, D], [C, E], [E, F], [G]) == [0, 1, 0, 1, 1, 5]


def test_a_reference_that_all_share_links_only_what_is_the_same_throughout():
    assert groups([A, B], [A, C], [A, B], [A, D], [A, E], [A, F]) == [0, 1, 0, 3, 4, 5]


def test_a_blank_in_place_of_every_image_links_nothing():
    assert groups([A], [A], [A], [A]) == [0, 1, 2, 3]


def test_unmarked_images_link_documents_whose_markers_differ():
    documents = [replace(document(i, shown), encoder_images=document(9, A).images)
                 for i, shown in enumerate((B, C))]  # fmt: skip
    documents += [document(i, shown) for i, shown in ((2, D), (3, E))]
    assert clusters_of(clustered(documents, None)).tolist() == [0, 0, 2, 3]


def test_a_column_decides_where_the_task_names_one():
    documents = [replace(document(i, A), cluster=name) for i, name in enumerate("xyx")]
    documents.append(document(3, A))  # null in the data
    assert clusters_of(clustered(documents, "scene")).tolist() == [0, 1, 0, 3]


def test_a_cluster_may_have_the_name_of_a_document():
    documents = [document(0, A), replace(document(1, B), cluster=document(0, A).doc_id)]
    assert clusters_of(documents).tolist() == [0, 1]


def test_readings_of_some_documents_group_them_as_readings_of_all_do():
    documents = [replace(document(i, A), cluster=name) for i, name in enumerate("xyxzy")]
    answers = [Answer(scores=np.zeros(2))] * 5
    whole = make_reading(documents, answers, "logprob").scores
    some = make_reading(documents[1:], answers[1:], "logprob").scores
    assert whole.clusters.tolist() == [0, 1, 0, 3, 1]
    assert some.clusters.tolist() == whole.take(np.arange(1, 5)).clusters.tolist() == [0, 1, 2, 0]
    alone = make_reading([documents[0], documents[1]], answers[:2], "logprob").scores
    assert alone.clusters is None


@pytest.fixture
def scenes(tmp_path) -> Home:
    home = Home(tmp_path)
    rows = [
        {"id": f"d{i}", "image": home.image(f"{i}.png", noise(i)), "scene": f"s{i // 3}",
         "question": "Which?", "answer": i % 2}
        for i in range(12)
    ]  # fmt: skip
    home.task("scenes", rows, bench={"id_column": "id", "cluster_by": "scene"})
    home.task("scenery", rows, bench={"id_column": "id", "cluster_by": "scenery"})
    return home


def test_a_run_counts_clusters_and_keeps_them(scenes):
    run = scenes.run("rule-first-choice", "scenes")
    held = RunFolder(run).read()
    record = held.manifest.tasks["scenes"]
    assert (record.cluster_by, record.clusters, record.n) == ("scene", 4, 12)
    assert stats_of(run, "metric")["effective_n",]["value"] < 12
    (cell,) = held.records("rule-first-choice", "scenes")
    assert cell.scores().clusters.tolist() == [i // 3 * 3 for i in range(12)]


def test_a_column_that_the_data_lacks_is_refused(scenes):
    said = vlmbench(
        "run", "--models", "rule-first-choice", "--tasks", "scenery", "--device", "cpu",
        "--include-path", scenes.folder, "--output", scenes.folder / "none", status=1,
    )  # fmt: skip
    assert "the data has no column `scenery`" in said.words
    assert "cluster_by" in said.words
