"""What goes to a model's page: read back by the Hub's own classes, and sent only when told to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
import yaml
from home import ROOT, stats_of, vlmbench
from hub import CARD, FACTS, Hub
from huggingface_hub import ModelCard, ModelCardData, parse_eval_result_entries

SHOWN = {
    "sight.prompted-own": ("own", "prompted", "accuracy"),
    "sight.prompted-blank": ("blank", "prompted", "accuracy"),
    "sight.encoder-own": ("own", "encoder", "accuracy"),
    "sight.gap": ("own", "encoder-prompted", "gap"),
}


@pytest.fixture
def place(published: Path) -> Path:
    return published / "hub/some/model"


def test_eval_results_are_read_back_to_the_last_digit(run, place):
    entries = parse_eval_result_entries(
        yaml.safe_load((place / ".eval_results/sight.yaml").read_text())
    )
    rows = stats_of(run, "condition", "readout", "metric")
    assert [entry.task_id for entry in entries] == list(SHOWN)
    for entry in entries:
        row = rows[SHOWN[entry.task_id]]
        assert (entry.dataset_id, entry.value) == ("a-lab/sights", row["value"])
        assert f"95% interval [{row['low']!r}, {row['high']!r}]" in entry.notes
        assert f"n {row['n']}" in entry.notes
    assert "prompted failed 1" in entries[3].notes
    assert "prompted abstained 1" in entries[3].notes


@pytest.mark.parametrize("missing", ["id", "task_id", "value"])
def test_the_hubs_reader_refuses_spoilt_eval_results(place, missing):
    entries = yaml.safe_load((place / ".eval_results/sight.yaml").read_text())
    entries[0].pop(missing, None)
    entries[0]["dataset"].pop(missing, None)
    with pytest.raises(KeyError, match=missing):
        parse_eval_result_entries(entries)


def test_the_model_index_is_read_back_to_the_last_digit(run, place):
    metadata = yaml.safe_load((place / "model-index.yaml").read_text())
    card = ModelCardData(**metadata)
    assert card.to_dict() == metadata
    rows = stats_of(run, "condition", "readout", "metric")
    assert len(card.eval_results) == len(SHOWN)
    for result in card.eval_results:
        args = result.metric_args
        row = rows[args["condition"], args["readout"], result.metric_type]
        assert result.metric_value == row["value"]
        assert args["interval_95"] == [row["low"], row["high"]]
    assert card.eval_results[0].metric_args["failed"] == "1"


def test_the_hubs_reader_refuses_a_spoilt_model_index(place):
    metadata = yaml.safe_load((place / "model-index.yaml").read_text())
    del metadata["model-index"][0]["results"][0]["dataset"]["type"]
    with pytest.raises(ValueError, match="model_index"):
        ModelCardData(**metadata)


def test_the_snippet_counts_what_failed_and_was_not_answered(place):
    lines = (place / "snippet.md").read_text().splitlines()
    accuracy, *_, gap = [line for line in lines if line.startswith("| sight")]
    assert accuracy.startswith("| sight | Accuracy (prompted, own) | 0.700 | [")
    assert accuracy.endswith("] | 5 | 1 | 1 |")
    assert gap.startswith("| sight | Gap (encoder-prompted, own) | 0.300 | [")
    assert gap.endswith("] | 5 | 0 + 1 | 0 + 1 |")


def sent(hub: Hub, run: Path, output: Path, *more: str, **variables: str) -> tuple[int, str]:
    """Publish with this hub as the endpoint; return the status and what was said."""
    serving = Thread(target=hub.serve_forever)
    serving.start()
    try:
        known = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        done = subprocess.run(
            [sys.executable, "-m", "vlmbench", "publish", run, *FACTS, "--output", output, *more],
            cwd=output.parent,
            env=known
            | {
                "PYTHONPATH": str(ROOT),
                "HF_ENDPOINT": hub.url,
                "HF_HOME": str(output.parent / "hf"),
            }
            | variables,
            capture_output=True,
            text=True,
        )
    finally:
        hub.shutdown()
        serving.join()
        hub.server_close()
    return done.returncode, done.stdout + done.stderr


def test_nothing_is_sent_unless_told_to(run, tmp_path):
    hub = Hub()
    status, said = sent(hub, run, tmp_path / "out", HF_TOKEN="hf_secret")
    assert status == 0, said
    assert "some/model: nothing was sent" in said
    assert not hub.tokens


def test_results_are_proposed_in_one_pull_request_with_the_token_of_the_environment(run, tmp_path):
    hub = Hub()
    status, said = sent(hub, run, tmp_path / "out", "--upload", HF_TOKEN="hf_secret")
    assert status == 0, said
    assert "some/model: proposed as" in said
    assert "/some/model/discussions/7" in said
    assert "hf_secret" not in said
    assert set(hub.tokens) - {None} == {"Bearer hf_secret"}  # a card is checked without one
    (first, _, results), (second, _, card) = hub.commits
    assert (first, second) == ("main as a pull request", "refs%2Fpr%2F7")
    place = tmp_path / "out/hub/some/model"
    assert results == {".eval_results/sight.yaml": (place / ".eval_results/sight.yaml").read_text()}
    merged = ModelCard(card["README.md"])
    ours = ModelCardData(**yaml.safe_load((place / "model-index.yaml").read_text()))
    assert merged.data.eval_results == [*ModelCard(CARD).data.eval_results, *ours.eval_results]
    assert merged.data.license == "mit"
    assert "# What was there" in merged.content


def test_a_token_that_was_kept_elsewhere_is_not_used(run, tmp_path):
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf/token").write_text("hf_kept")
    hub = Hub()
    status, said = sent(hub, run, tmp_path / "out", "--upload")
    assert status == 1
    assert "there is no HF_TOKEN in the environment" in said
    assert not hub.tokens


def test_what_the_hub_refuses_is_told(run, tmp_path):
    status, said = sent(Hub(refuses=True), run, tmp_path / "out", "--upload", HF_TOKEN="hf_secret")
    assert status == 1
    assert "the Hub did not take the results" in said
    assert "Traceback" not in said
    assert "hf_secret" not in said


def test_two_runs_of_one_row_give_it_once(run, tmp_path):
    vlmbench("publish", run, run, *FACTS, "--output", tmp_path)
    entries = yaml.safe_load((tmp_path / "hub/some/model/.eval_results/sight.yaml").read_text())
    assert len(entries) == len(SHOWN)
    assert json.dumps(entries)
