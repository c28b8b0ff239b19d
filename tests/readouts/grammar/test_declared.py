"""Answers that are there are read, and nothing is read where there is none."""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from vlmbench.readouts.grammar import declared

CUPS = ("one cup", "two cups", "three cups", "four cups")


@dataclass(frozen=True)
class Kind:
    """A question: its choices, what the prompt lists beside them, and the prompt."""

    choices: tuple[str, ...]
    listed: tuple[str, ...] = ()
    question: str = ""
    cut: bool = False

    def read(self, reply: str) -> str:
        found = declared(
            reply, self.choices, listed=self.listed, question=self.question, cut=self.cut
        )
        return "-" if found is None else self.choices[found]


HOW_MANY = "How many cups are there?"
KINDS = {
    "letters": Kind(tuple("ABCD"), CUPS, HOW_MANY),
    "letters_cut": Kind(tuple("ABCD"), CUPS, HOW_MANY, cut=True),
    "depth": Kind(("A", "B"), (), "<image>\nWhich point is closer to the camera?\nAnswer:"),
    "match": Kind(tuple("ABCD"), (), "Which point on the right image matches REF, A, B, C or D?"),
    "yes_no": Kind(("yes", "no"), (), "Is the bear touching the person?"),
    "yes_no_listed": Kind(("A", "B"), ("yes", "no"), "Is the bear touching the person?"),
    "colours": Kind(("red", "blue", "green"), (), "What colour is the cup?"),
    "numbers": Kind(("1", "2", "3", "10"), (), HOW_MANY),
    "number_labels": Kind(("1", "2"), CUPS[:2], HOW_MANY),
    "nested": Kind(("red cup", "red")),
    "brackets": Kind(("(A)", "(B)"), CUPS[:2]),
    "lower": Kind(tuple("abc")),
    "ten": Kind(tuple("ABCDEFGHIJ")),
    "alphabet": Kind(tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")),
    "sentences": Kind(("The cup is left of the plate.", "The cup is right of the plate.")),
    "sides": Kind(("left", "right"), (), "Is the camera moving left or right?"),
}


def replies() -> list[tuple[str, str, str]]:
    lines = (Path(__file__).parent / "replies.tsv").read_text("utf-8").splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return [(kind, named, _unescaped(reply)) for kind, named, reply in rows]


def _unescaped(reply: str) -> str:
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], reply)


REPLIES = replies()


@pytest.mark.parametrize(("kind", "named", "reply"), REPLIES)
def test_a_reply_is_read_as_someone_would_read_it(kind: str, named: str, reply: str) -> None:
    assert KINDS[kind].read(reply) == named


def test_the_table_has_both_kinds_of_replies() -> None:
    abstained = sum(named == "-" for _, named, _ in REPLIES)
    assert len(REPLIES) == len({(kind, reply) for kind, _, reply in REPLIES})
    assert abstained > 150
    assert len(REPLIES) - abstained > 150


def test_the_order_of_the_choices_changes_nothing() -> None:
    draw = random.Random(1)
    for kind, named, reply in REPLIES:
        asked = KINDS[kind]
        order = draw.sample(range(len(asked.choices)), len(asked.choices))
        turned = replace(
            asked,
            choices=tuple(asked.choices[index] for index in order),
            listed=tuple(asked.listed[index] for index in order) if asked.listed else (),
        )
        assert turned.read(reply) == named, reply


@pytest.mark.parametrize(
    "shape",
    ["**{}**", "*{}*", "__{}__", "`{}`", "# {}", "> {}", "- {}", '"{}"', "“{}”", "<s>{}</s>",
     "  {}\n\n", "\n\n\t{}"],
)  # fmt: skip
def test_markup_and_white_space_around_a_reply_change_nothing(shape: str) -> None:
    for kind, named, reply in REPLIES:
        assert KINDS[kind].read(shape.format(reply)) == named, reply


def test_white_space_within_a_reply_changes_nothing() -> None:
    for kind, named, reply in REPLIES:
        wider = reply.replace(" ", "  ").replace("\n", " \n\n")
        assert KINDS[kind].read(wider) == named, reply


def test_courtesies_change_nothing_where_the_end_is_read_too() -> None:
    whole = [one for one in REPLIES if not KINDS[one[0]].cut]
    assert whole
    for kind, named, reply in whole:
        assert KINDS[kind].read(f"{reply}\n\nI hope this helps!") == named, reply


def test_a_preamble_turns_no_answer_into_another() -> None:
    for kind, named, reply in REPLIES:
        read = KINDS[kind].read(f"Looking at the picture.\n\n{reply}")
        assert read in (named, "-"), reply


def test_what_names_no_choice_never_votes() -> None:
    """Words of all kinds, cues among them, in any order: only a mention can be an answer."""
    words = re.findall(
        r"\S+|\n",
        "the answer is correct final answer: I would choose therefore so option point because it "
        "closer to camera table shows best match not yes. no, maybe? which most likely, cup cups "
        "plate: left right . , - ( ) \n **",
    )
    draw = random.Random(2)
    silent = [Kind(tuple("BCDE"), ("wolf", "bear", "fox", "lynx"), HOW_MANY), Kind(("7", "8"))]
    for _ in range(2000):
        reply = " ".join(draw.choices(words, k=draw.randint(1, 25)))
        for asked in silent:
            assert asked.read(reply) == "-", reply
    assert silent[0].read("so the answer is the bear.") == "C"  # they do listen


def test_choices_that_look_alike_without_markup_are_told_apart_or_not_read() -> None:
    assert Kind(("*", "**")).read("**") == "-"
    assert Kind(("a", "A")).read("A") == "A"
    assert Kind(("a", "A")).read("a") == "a"
    assert Kind(("x_1", "x_2")).read("The answer is x_2.") == "x_2"
    assert Kind(("2*3", "23")).read("2*3") == "2*3"
    assert Kind(("$5", "5")).read("5") == "5"


def test_a_long_reply_is_read_in_no_time() -> None:
    reply = "I think that the cup, which is near B, is larger than the other one " * 500
    started = time.perf_counter()
    assert KINDS["letters"].read(f"{reply}. The answer is B.") == "B"
    assert time.perf_counter() - started < 5


def test_a_question_of_common_words_alone_is_read_all_the_same():
    """Nothing in it tells one question from another, so there is nothing that could be an echo."""
    question = "What is it?\n(A) star\n(B) ring\nAnswer with the letter:"
    assert declared("B", ["A", "B"], question=question) == 1
