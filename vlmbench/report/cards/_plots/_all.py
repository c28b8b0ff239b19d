"""Every plot of an explanation, by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TypeVar

import numpy as np
from matplotlib.figure import Figure

from vlmbench.diagnostics import (
    WITHOUT,
    Analysis,
    Evidence,
    Finding,
    Outcome,
    Test,
    budget,
    compare,
    consistency,
    contribution,
    distributions,
    override,
    sensitivity,
)
from vlmbench.diagnostics.analyses import (
    answer_inside,
    counterfactual,
    interventions,
    prefix,
    prompts,
    stages,
    tuning,
)
from vlmbench.diagnostics.analyses import attention as looks
from vlmbench.metrics import PROMPTED, answer_distribution, credit, truth_distribution
from vlmbench.report._format import line_of
from vlmbench.report.cards._explanation import Explanation, TaskExplained
from vlmbench.report.cards._plots._answers import (
    Answers,
    Confidence,
    answer_distributions,
    confidence_shift,
)
from vlmbench.report.cards._plots._attention import (
    image_by_head,
    maps_over_images,
    parts_by_layer,
)
from vlmbench.report.cards._plots._curves import dose_curve, information_bars, sensitivity_curves
from vlmbench.report.cards._plots._interventions import (
    counterfactual_following,
    knockout_by_window,
    patching_by_depth,
)
from vlmbench.report.cards._plots._layers import (
    attention_by_filler,
    attention_by_layer,
    budget_by_length,
    consistency_by_layer,
    readout_by_layer,
)
from vlmbench.report.cards._plots._prompts import accuracy_by_prompt
from vlmbench.report.cards._plots._stages import answer_by_layer, stage_curve, waterfall
from vlmbench.report.cards._plots._strip import Line, strip
from vlmbench.report.cards._plots._tuning import arms, prefix_curve
from vlmbench.types import ChoiceScores, VlmbenchError

_Shown = TypeVar("_Shown")

HOW_TO_READ = {
    "summary": "All tests on every task, and the verdict.",
    "answers": "Which letters are given. A model that answers the same with and without images "
    "gets its letters from the text.",
    "override": "Share of documents on which the image's choice stays ahead of the one that a "
    "wrong hint asserts. Below one half the text wins.",
    "consistency": "Information that image and text states share, given the answer. Inside the "
    "band it cannot be told apart from shuffled documents; what is not above the control came with "
    "the question.",
    "readout": "What a linear readout of the states gets right, compared with what the model "
    "says. If late layers are far above the head, the answer is there but is not said.",
    "sensitivity": "How far the answer moves as the image is damaged.",
    "information": "What the image adds, in bits. Usable information below 0: the image makes "
    "the right answer less likely. Entropy can also fall on wrong answers.",
    "confidence": "Each document's largest probability, without and with the image. Above the "
    "line, the image makes the model more certain; crosses are certain and wrong.",
    "attention": "Where the last position of the prompt looks, layer by layer.",
    "filler": "The same for the image, as text that says nothing is added.",
    "stages": "What the task's probe gets right at every stage of the model's own forward pass: "
    "where the curve falls, the answer is lost.",
    "waterfall": "The gap taken apart, from the encoder's accuracy to the answer's. Hatched parts "
    "give some of it back.",
    "inside": "What the prompt's last position holds of the answer. If a linear readout is far "
    "above the answer, it is known and not said.",
    "budget": "What the image keeps of its influence as the prompt grows.",
    "prompts": "Accuracy under every form of the same question. If all dots lie far left of the "
    "encoder's line, no prompt closes the gap.",
    "tuning": "What training as many parameters in each part gains. Strokes are single seeds. The "
    "part that gains most is the one that held the answer back; none can be expected to pass "
    "the encoder.",
    "prefix": "What learned embeddings before the prompt gain: little, if it is not the wording "
    "that is at fault.",
    "knockout": "How the probability of the right answer changes when attention to the image is "
    "cut in a window of layers. Where cutting the question's attention costs most, the image is "
    "taken into the text; where the last position's does, it is read directly.",
    "patching": "Share of answers that change when states are replaced by those another image "
    "gives. The depth at which image states stop mattering is where the answer has left them; "
    "random directions say what a change of that size does by itself.",
    "counterfactual": "Who is right with an image and with the same one drawn to another answer. "
    "A reader of the text alone never is, and answers both alike.",
    "parts": "Where the last position of the prompt looks, with attention sinks apart: tokens that "
    "are attended to whatever is asked.",
    "heads": "What each head of each layer pays the image, its sinks left out.",
    "maps": "How attention to the image lies on it, mean over documents, its sinks left out. Where "
    "there are trained weights, what changes with them.",
}
"""Names of the plots, in the order of the card, with a line on each."""


def plots(explanation: Explanation) -> dict[str, Figure | None]:
    """Draw all plots; None for one that nothing was recorded for."""
    lines = [
        Line(task=task.task, outcomes=task.outcomes, verdict=task.verdict)
        for task in explanation.tasks
    ]
    name = line_of(explanation.about.alias or explanation.model)
    return {"summary": strip(name, lines)} | panels({task.task: task for task in explanation.tasks})


def panels(
    held: Mapping[str, TaskExplained], only: Collection[str] = ()
) -> dict[str, Figure | None]:
    """Draw all plots but the summary, with a panel for each of what is held; None as above.

    Args:
        held: What the records say, by the title of its panel.
        only: Names of the plots to draw; by default, all of them.
    """
    by_test = partial(_outcomes, held)

    def of(analysis: Analysis) -> dict[str, Finding]:
        return {
            title: finding
            for title, task in held.items()
            for finding in task.findings
            if finding.analysis == analysis
        }

    evidence = {title: task.evidence for title, task in held.items()}
    drawn: dict[str, Callable[[], Figure | None]] = {
        "answers": lambda: answer_distributions(_each(_answers, evidence)),
        "override": lambda: dose_curve(by_test(override.TEST)),
        "consistency": lambda: consistency_by_layer(by_test(consistency.TEST)),
        "readout": lambda: readout_by_layer(by_test(consistency.TEST)),
        "sensitivity": lambda: sensitivity_curves(by_test(sensitivity.TEST)),
        "information": lambda: information_bars(by_test(contribution.TEST)),
        "confidence": lambda: confidence_shift(_each(_confidence, evidence)),
        "attention": lambda: attention_by_layer(by_test(budget.TEST)),
        "filler": lambda: attention_by_filler(by_test(budget.TEST)),
        "budget": lambda: budget_by_length(by_test(budget.TEST)),
        "stages": lambda: stage_curve(of(stages.ANALYSIS)),
        "waterfall": lambda: waterfall(of(stages.ANALYSIS)),
        "inside": lambda: answer_by_layer(of(answer_inside.ANALYSIS)),
        "prompts": lambda: accuracy_by_prompt(of(prompts.ANALYSIS)),
        "tuning": lambda: arms(of(tuning.ANALYSIS)),
        "prefix": lambda: prefix_curve(of(prefix.ANALYSIS)),
        "knockout": lambda: knockout_by_window(of(interventions.KNOCKOUT)),
        "patching": lambda: patching_by_depth(of(interventions.PATCHING)),
        "counterfactual": lambda: counterfactual_following(of(counterfactual.ANALYSIS)),
        "parts": lambda: parts_by_layer(of(looks.ANALYSIS)),
        "heads": lambda: image_by_head(of(looks.ANALYSIS)),
        "maps": lambda: maps_over_images(evidence),
    }
    return {name: draw() for name, draw in drawn.items() if not only or name in only}


def _each(
    shown: Callable[[Evidence], _Shown | None], evidence: Mapping[str, Evidence]
) -> dict[str, _Shown]:
    """Return what is shown of each of those that have it."""
    found = {title: shown(held) for title, held in evidence.items()}
    return {title: one for title, one in found.items() if one is not None}


def _outcomes(held: Mapping[str, TaskExplained], test: Test) -> dict[str, Outcome]:
    """Return the outcomes of one test by title."""
    return {
        title: outcome
        for title, task in held.items()
        for outcome in task.outcomes
        if outcome.test == test
    }


def _answers(evidence: Evidence) -> Answers | None:
    """Return the letters given with own and blank images; None for free text."""
    own, blank = evidence.get(PROMPTED), evidence.get(PROMPTED, "blank")
    known = next((scores for scores in (own, blank) if _lettered(scores)), None)
    if known is None:
        return None
    return Answers(
        truth=truth_distribution(known),
        vision=answer_distribution(own) if own is not None and _lettered(own) else None,
        blind=answer_distribution(blank) if blank is not None and _lettered(blank) else None,
    )


def _lettered(scores: ChoiceScores | None) -> bool:
    return scores is not None and scores.scale != "credit" and not scores.failed.all()


def _confidence(evidence: Evidence) -> Confidence | None:
    """Return each document's confidence with and without its image, where both were scored."""
    own = evidence.get(PROMPTED)
    for condition, words in WITHOUT.items():
        text = evidence.get(PROMPTED, condition)
        if own is None or text is None:
            continue
        try:
            pair = compare(own, text)
        except VlmbenchError:
            # Not log-likelihoods, or not comparable: the test itself has said so.
            return None
        seeing, blind = pair.cells
        return Confidence(
            text=np.asarray(distributions(blind).max(axis=1)),
            both=np.asarray(distributions(seeing).max(axis=1)),
            right=np.asarray(credit(seeing) == 1),
            without=words,
        )
    return None
