"""What a task file of ours cannot do under lm-eval's own code: bring along any of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from home import vlmbench

# In a sandbox the attribute is not there; without one, there is any module of Python behind it.
ESCAPE = (
    "<image>{{% if question.__class__ is defined %}}"
    "{{{{ cycler.__init__.__globals__['os'].mkdir('{place}') }}}}{{% endif %}}{{{{ question }}}}"
)
METRIC = """\
import pathlib
import datasets
import evaluate
pathlib.Path({place!r}).mkdir()
class Own(evaluate.Metric):
    def _info(self):
        features = {{name: datasets.Value("string") for name in ("predictions", "references")}}
        return evaluate.MetricInfo(
            description="", citation="", features=datasets.Features(features)
        )
    def _compute(self, predictions, references):
        return {{"own": 1.0}}
"""


def run(home: Path, *lines: str, status: int = 0) -> str:
    """Run a task that adds lines to `pick`, under lm-eval."""
    file = home / "runs_code.yaml"
    file.write_text("\n".join(("include: pick.yaml", "task: runs_code", *lines)) + "\n")
    try:
        return vlmbench(
            "lm-eval", "--include-path", home, "--device", "cpu", "--models", "random",
            "--tasks", file, "--limit", "1", status=status,
        ).words  # fmt: skip
    finally:
        file.unlink()


def test_a_template_does_not_reach_python_behind_a_value(home, tmp_path):
    place = tmp_path / "made"
    run(home, f'doc_to_text: "{ESCAPE.format(place=place)}"')
    assert not place.exists()


@pytest.mark.parametrize("more", ["", ", hf_evaluate: true"])
def test_a_metric_is_lm_evals_own(home, tmp_path, more):
    place, script = tmp_path / "made", tmp_path / "own" / "own.py"
    script.parent.mkdir()
    script.write_text(METRIC.format(place=str(place)))
    said = run(
        home, "output_type: generate_until", "generation_kwargs: {until: ['zzz']}",
        f"metric_list: [{{metric: '{script.parent}', aggregation: mean{more}}}]", status=1,
    )  # fmt: skip
    assert not place.exists()
    assert "is not lm-eval's own" in said


def test_an_aggregation_that_there_is_not_is_named(home):
    said = run(home, "metric_list: [{metric: acc, aggregation: means}]", status=1)
    assert "'means' is not lm-eval's own" in said
    assert "Did you mean `mean`?" in said
