"""Rules by which text is read: which one a task has, what each reads, and what is noted."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import home
import pytest
import yaml
from home import asked, task_keys, task_spec, texts_read
from PIL import Image

from vlmbench import readouts
from vlmbench.models import Reply
from vlmbench.readouts import Answer, read_replies
from vlmbench.readouts._answers import notes_on
from vlmbench.spec import (
    ANSWER_RULES,
    Blink,
    Declared,
    Filters,
    OwnScoring,
    TaskSpec,
    load_data,
    reading_digest,
)
from vlmbench.types import Document, EncodedImage, VlmbenchError

FIRST_LETTER = [
    {
        "name": "letter",
        "filter": [
            {"function": "regex", "regex_pattern": "([A-D])"},
            {"function": "take_first"},
        ],
    }
]
PICTURE = EncodedImage.from_pil(Image.new("RGB", (2, 2)))
CUPS = "<image>How many cups?\n(A) one cup\n(B) two cups\nAnswer with the letter:"


def task(answer: str | None = None, **keys: Any) -> TaskSpec:
    bench = {} if answer is None else {"answer": answer}
    return TaskSpec.model_validate(
        task_keys(bench=bench, **{"output_type": "generate_until", **keys})
    )


def document(*choices: str, doc_id: str = "d") -> Document:
    return Document(
        doc_id=doc_id, images=(PICTURE,), encoder_images=(PICTURE,), marked=False,
        choices=choices, gold=0,
    )  # fmt: skip


def named(spec: TaskSpec, text: str, *choices: str, question: str = "") -> str | None:
    (vote,) = texts_read(spec, [document(*choices)], [text], question)
    return None if vote is None else choices[int(vote.argmax())]


def test_the_rule_is_lm_evals_filters_only_where_there_are_some() -> None:
    assert task().answer_rule == Declared()
    assert task(filter_list=FIRST_LETTER).answer_rule == Filters()
    assert task("declared", filter_list=FIRST_LETTER).answer_rule == Declared()
    assert task("blink", filter_list=FIRST_LETTER).answer_rule == Blink()
    assert task(doc_to_choice=None).answer_rule == OwnScoring()
    assert task(output_type="multiple_choice").answer_rule == Declared()  # for want of likelihoods


def test_a_rule_has_a_short_form_and_none_is_made_up() -> None:
    assert task({"kind": "blink"}) == task("blink")  # type: ignore[arg-type]
    for text, says in (
        ("answer: guess", "declared"),
        ("answer: lm_eval", "`lm_eval` credits free text, and this task has choices"),
    ):
        with pytest.raises(VlmbenchError, match=says):
            load_data(yaml.safe_load(written(text)), Path("t.yaml"))
    freed = written("answer: blink").replace("doc_to_choice: [A, B]\n", "")
    with pytest.raises(VlmbenchError, match="`blink` reads a choice, and free text has none"):
        load_data(yaml.safe_load(freed), Path("t.yaml"))


def written(bench: str) -> str:
    return (
        "task: t\ndataset_path: json\ntest_split: test\noutput_type: generate_until\n"
        'doc_to_text: "<image>?"\ndoc_to_image: [image]\ndoc_to_choice: [A, B]\n'
        "doc_to_target: answer\nmetric_list: [{metric: exact_match}]\n"
        f"metadata: {{vlmbench: {{ability: naming, {bench}}}}}\n"
    )


def test_runs_read_by_other_rules_are_not_compared() -> None:
    digests = {reading_digest(task(rule)) for rule in (None, "declared", "blink", "filters")}
    assert len(digests) == 3
    assert reading_digest(task()) == reading_digest(task("declared"))
    scored = {"output_type": "multiple_choice"}
    assert reading_digest(task(**scored)) == reading_digest(task("blink", **scored))


REPLIES = [
    # reply, declared, blink, filters
    ("B", "B", "B", "B"),
    ("(B)", "B", "B", "B"),
    ("b", "B", None, None),
    ("The correct answer is B", "B", None, "B"),
    ("**B**", "B", None, "B"),
    ("Answer: B", "B", None, "A"),  # the filter of this task takes the first letter there is
    ("I considered (A), but it is incorrect. Final answer: B.", "B", "A", "A"),
    ("(A) is on the left.\n\nSo it is (B).", "B", "B", "A"),
    ("I see (B) there", None, "B", "B"),
    ("A or B", None, None, "A"),
    ("(A) and (E)", None, None, "A"),
    ("two cups", "B", None, None),
    ("", None, None, None),
]


@pytest.mark.parametrize(("reply", "declared", "blink", "filters"), REPLIES)
def test_each_rule_reads_as_it_says(
    reply: str, declared: str | None, blink: str | None, filters: str | None
) -> None:
    for rule, expected in (("declared", declared), ("blink", blink), ("filters", filters)):
        spec = task(rule, filter_list=FIRST_LETTER)
        assert named(spec, reply, "A", "B", question=CUPS) == expected


def test_words_beside_the_letters_are_those_of_the_prompt() -> None:
    assert named(task(), "Two cups.", "(A)", "(B)", question=CUPS) == "(B)"
    assert named(task(), "B. one cup", "A", "B", question=CUPS) is None
    hinted = CUPS.replace("Answer with", "Someone says (A) one cup.\nAnswer with")
    assert named(task(), "Two cups.", "A", "B", question=hinted) == "B"
    whole = ("A. one cup", "B. two cups")  # choices that bring their letters themselves
    assert named(task(), "B", *whole) == "B. two cups"
    assert named(task(), "one cup", *whole) == "A. one cup"
    assert named(task(), "B. two cups", *whole) == "B. two cups"


def test_a_reply_that_was_cut_off_is_counted_apart_and_its_first_words_are_no_answer() -> None:
    said = ["(A) one", "The answer is B.", "", "I cannot tell", "B"]
    finish = ["length", "length", "length", "stop", "length"]
    documents = [document("A", "B", doc_id=str(index)) for index in range(5)]
    replies = [Reply(text=text, finish=why) for text, why in zip(said, finish, strict=True)]
    reading = read_replies(asked(documents, [CUPS] * 5), [""] * 5, replies, task())
    assert reading.scores.abstained.tolist() == [True, False, True, True, False]
    assert {key: reading.notes[key] for key in ("read_from", "read_by", "unread", "cut_off")} == {
        "read_from": "text", "read_by": "declared-1", "unread": 3, "cut_off": 2,
    }  # fmt: skip


def test_what_failed_is_neither_unread_nor_cut_off() -> None:
    answers = [Answer(scores=None, error="HTTP 500", finish="length"), Answer(scores=None)]
    assert notes_on(task(), answers)["unread"] == 1
    assert notes_on(task(), answers)["cut_off"] == 0


def test_every_rule_can_be_imported_and_says_what_it_reads() -> None:
    assert {rule().name for rule in ANSWER_RULES} == {
        "declared-1", "blink-1", "filters-1", "lm_eval-1",
    }  # fmt: skip
    for rule in ANSWER_RULES:
        assert rule.says


def test_many_replies_are_read_a_batch_at_a_time_and_keep_their_places(monkeypatch) -> None:
    """A server's replies come all at once, and a rule has seconds for those that it is given."""
    read, sizes = readouts.by_declaration, []

    def counted(task, asked, replies):
        sizes.append(len(replies))
        return read(task, asked, replies)

    monkeypatch.setattr(readouts, "by_declaration", counted)
    texts = ["AB"[index % 3 == 0] if index % 7 else "" for index in range(300)]
    documents = [home.document(index) for index in range(300)]
    votes = texts_read(task_spec(), documents, texts)
    assert ["AB"[vote.argmax()] if vote is not None else "" for vote in votes] == texts
    assert sizes == [128, 128, 1]


def test_patterns_that_do_not_end_are_an_error_that_names_them() -> None:
    endless = {"function": "regex", "regex_pattern": "(a|a)*$"}
    spec = task(filter_list=[{"name": "f", "filter": [endless, {"function": "take_first"}]}])
    with pytest.raises(VlmbenchError, match=r"(?s)filter_list.*takes more than 5 s.*pattern"):
        named(spec, "a" * 40 + "b", "A", "B")
    assert named(spec, "A", "A", "B") is None
    ignored = {"metric": "exact_match", "aggregation": "mean", "regexes_to_ignore": ["(a|a)*$"]}
    free = task(doc_to_choice=None, doc_to_target="{{ 'cup' }}", metric_list=[ignored])
    one = dataclasses.replace(document("right", "wrong"), row={"question": "?"})
    with pytest.raises(VlmbenchError, match=r"(?s)exact_match.*takes more than 5 s"):
        texts_read(free, [one], ["a" * 40 + "b"])


HACK = (
    "{% if cycler.__init__ is defined %}{{ cycler.__init__.__globals__.os.mkdir(folder) }}"
    "{% else %}cup{% endif %}"
)


@pytest.mark.parametrize("field", ["doc_to_target", "doc_to_text"])
def test_templates_never_reach_lm_evals_jinja_which_runs_code(field: str, tmp_path: Path) -> None:
    keys = {"doc_to_target": "{{ 'cup' }}", field: HACK, "doc_to_choice": None}
    one = document("right", "wrong")
    row = {"folder": str(tmp_path / "hacked"), "question": "?"}
    (credit,) = texts_read(task(**keys), [dataclasses.replace(one, row=row)], ["cup"])
    assert credit is not None
    assert credit.tolist() == [1.0, 0.0]
    assert not (tmp_path / "hacked").exists()
