"""Requests and answers as data, waits, and votes read from text."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
from awkward import awkward, png_parts
from home import asked
from PIL import Image

from vlmbench.models import Prompt, Reply
from vlmbench.models.openai._client import retry_after
from vlmbench.models.openai._wire import Request, parse
from vlmbench.readouts import read_replies
from vlmbench.spec import TaskSpec
from vlmbench.types import Document, EncodedImage, VlmbenchError


def test_images_stand_where_they_are_named_and_keep_every_pixel() -> None:
    rng = np.random.default_rng(0)
    images = tuple(
        Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)) for _ in range(2)
    )
    prompt = Prompt(user="first <image> second <image>", images=images, system="Be brief.")
    body = json.loads(Request(prompt=prompt, settings={"model": "m"}).body())
    system, user = body["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    kinds = [part["type"] for part in user["content"]]
    assert kinds == ["text", "image_url", "text", "image_url"]
    for part, image in zip(user["content"][1::2], images, strict=True):
        head, _, data = part["image_url"]["url"].partition(",")
        assert head == "data:image/png;base64"
        shown = Image.open(io.BytesIO(base64.b64decode(data)))
        assert shown.tobytes() == image.tobytes()


@pytest.mark.parametrize("name", ["turned_6.jpeg", "rgba.png", "deep.png", "broken_profile.jpeg"])
def test_a_server_is_sent_what_a_file_shows_and_nothing_else(name: str) -> None:
    """Upright pixels with the file's orientation beside them would be turned once more."""
    image = EncodedImage(awkward(name).data)
    prompt = Prompt(user="<image>", images=(image.decode(),))
    (message,) = json.loads(Request(prompt=prompt, settings={}).body())["messages"]
    data = base64.b64decode(message["content"][0]["image_url"]["url"].partition(",")[2])
    assert {part for part, _ in png_parts(data)} == {b"IHDR", b"IDAT", b"IEND"}
    assert EncodedImage(data).decode().tobytes() == image.decode().tobytes()


def test_a_prompt_with_too_few_images_is_refused() -> None:
    with pytest.raises(ValueError, match="2 `<image>` for 1 images"):
        Request(
            prompt=Prompt(user="<image><image>", images=(Image.new("RGB", (2, 2)),)), settings={}
        ).body()


@pytest.mark.parametrize("change", ["text", "pixels", "settings", "address"])
def test_a_key_follows_everything_that_is_asked(change: str) -> None:
    def ask(text: str, colour: int, limit: int, address: str) -> str:
        image = Image.new("RGB", (2, 2), (colour, 0, 0))
        prompt = Prompt(user=text, images=(image,))
        return Request(prompt=prompt, settings={"max_completion_tokens": limit}).key(address)

    plain = ask("a<image>", 1, 8, "http://one")
    other = {
        "text": ask("b<image>", 1, 8, "http://one"),
        "pixels": ask("a<image>", 2, 8, "http://one"),
        "settings": ask("a<image>", 1, 9, "http://one"),
        "address": ask("a<image>", 1, 8, "http://two"),
    }[change]
    assert plain == ask("a<image>", 1, 8, "http://one")
    assert plain != other


def test_refusals_and_parts_are_read() -> None:
    empty = {"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]}
    assert parse(json.dumps(empty).encode()).text == ""
    parts = [{"type": "text", "text": "A"}, {"type": "other"}]
    listed = {"choices": [{"message": {"content": parts}}]}
    assert parse(json.dumps(listed).encode()).text == "A"
    for broken in (b"", b"[]", b'{"choices": []}', b'{"choices": [{"message": 1}]}'):
        with pytest.raises(ValueError, match="not a chat completion"):
            parse(broken)


def test_retry_after_takes_seconds_and_dates() -> None:
    assert retry_after(None) is None
    assert retry_after("2.5") == 2.5
    assert retry_after("-3") == 0.0
    assert retry_after("soon") is None
    assert retry_after("inf") is None
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < retry_after(date) <= 30


def document(*choices: str) -> Document:
    image = EncodedImage.from_pil(Image.new("RGB", (2, 2)))
    return Document(
        doc_id="d", images=(image,), encoder_images=(image,), marked=False, choices=choices, gold=0
    )


TASK = TaskSpec(
    task="t",
    dataset_path="json",
    test_split="test",
    output_type="multiple_choice",
    doc_to_text="?",
    doc_to_choice=["A", "B"],
    doc_to_target=0,
    doc_to_image="image",
    metadata={"version": 1.0, "vlmbench": {"ability": "naming"}},
)


def both(*replies: Reply):
    documents = [document("A", "B"), replace(document("A", "B"), doc_id="e")]
    return read_replies(asked(documents, ["", ""]), ["", ""], replies, TASK)


def test_scales_do_not_mix_within_a_cell() -> None:
    listed = Reply(text="B", logprobs=np.array([-0.1, -2.0]))
    whole = both(listed, listed)
    assert whole.scores.scale == "logprob"
    assert whole.scores.scores.argmax(1).tolist() == [0, 0]
    mixed = both(listed, Reply(text="B"))
    assert mixed.scores.scale == "vote"
    assert mixed.scores.scores.argmax(1).tolist() == [1, 1]
    assert mixed.notes["all_choices_listed"] == 1
    failed = both(listed, Reply(error="HTTP 500"))  # one that failed has nothing to list
    assert failed.scores.scale == "logprob"
    assert failed.scores.failed.tolist() == [False, True]
    assert failed.notes["unanswered"] == 1
    assert failed.notes["usd"] is None


def test_thinking_without_a_word_is_no_abstention() -> None:
    cut = Reply(text="", finish="length")
    with pytest.raises(VlmbenchError, match="before saying anything"):
        both(cut, cut)
    refused = both(cut, Reply(text="", finish="content_filter"))
    assert refused.scores.abstained.all()
