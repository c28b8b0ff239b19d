"""Canaries against servers that lose images, mix them up, or say something else every time."""

from __future__ import annotations

import json

import pytest
from home import Home

from vlmbench.models import TakesCanaries, try_canaries
from vlmbench.models.openai import OpenAIBackend, account
from vlmbench.spec import load_file
from vlmbench.types import VlmbenchError

VARIABLE = "VLMBENCH_TEST_API_KEY"


@pytest.fixture
def tried(tmp_path, scripted, key):
    """Try canaries on a server that plays a script; its journal is `tmp_path / "answers.jsonl"`."""

    def run(play, **server):
        with scripted(play) as url:
            given = {
                "base_url": url,
                "api_key_env": "VLMBENCH_TEST_API_KEY",
                "retries": 0,
                **server,
            }
            path = Home(tmp_path).model("m", "name", backend="openai", server=given)
            model = load_file(path)
            backend = OpenAIBackend.load(model.spec, None, None, None)
            assert isinstance(backend, TakesCanaries)
            backend.keep(tmp_path / "answers.jsonl")
            return try_canaries(backend, model)

    return run


def test_a_server_that_lists_likelihoods_shows_that_it_sees(tried, completion, colour, tmp_path):
    likely = {"Red": {"Red": -0.1, "Blue": -3.0}, "Blue": {"Blue": -0.2, "Red": -2.0}}
    play = lambda _, body, __: (200, completion(colour(body), **likely[colour(body)]), {})
    found = tried(play)
    assert found["answers"] == ["Red", "Blue", "Red"]
    assert found["repeat"] == 0
    assert found["images"] == pytest.approx(0.769, abs=1e-3)
    assert found["image_tokens"] is None
    assert found["prompt"] is None  # it does not show how it renders prompts
    assert account(tmp_path / "answers.jsonl")["requests"] == 3


def test_they_are_asked_again_though_the_journal_has_their_answers(tried, completion, colour):
    asked = []

    def play(number, body, headers):
        asked.append(number)
        return 200, completion(colour(body)), {}

    tried(play)
    tried(play)
    assert len(asked) == 6


def test_equal_likelihoods_of_two_images_are_refused(tried, completion):
    play = lambda *_: (200, completion("Red", Red=-0.1, Blue=-3.0), {})
    with pytest.raises(VlmbenchError) as caught:
        tried(play)
    (problem,) = caught.value.problems
    assert problem.file.endswith("m.yaml")
    assert problem.field == "server"
    assert "a red and a blue square, which get the same likelihoods" in problem.message
    assert "served as a model of images" in problem.remedy


def test_images_that_move_likelihoods_less_than_chance_does_are_refused(tried, completion):
    levels = iter([-0.1, -0.101, -0.103])
    play = lambda *_: (200, completion("Red", Red=next(levels), Blue=-3.0), {})
    with pytest.raises(VlmbenchError, match="the same likelihoods"):
        tried(play)


def test_another_answer_to_the_other_image_is_enough(tried, completion, colour):
    """The first token is certain, and what follows it is not."""
    levels = iter([-0.001, -0.001, -0.002])
    play = lambda _, body, __: (200, completion(f"It is {colour(body)}", It=next(levels)), {})
    assert tried(play)["answers"] == ["It is Red", "It is Blue", "It is Red"]


def test_the_same_request_must_agree_twice(tried, completion, colour):
    levels = iter([-0.1, -0.1, -0.5])
    play = lambda _, body, __: (
        200, completion(colour(body), **{colour(body): next(levels), "Green": -3.0}), {},
    )  # fmt: skip
    with pytest.raises(VlmbenchError, match=r"probability of a first token moved by 0\.3"):
        tried(play)


@pytest.mark.parametrize(
    ("tokens", "refused"), [({True: 90, False: 20}, False), ({True: 20, False: 20}, True)]
)
def test_without_likelihoods_equal_answers_stand_if_images_take_tokens(
    tried, completion, tokens, refused
):
    def play(number, body, headers):
        return 200, completion("A square.", prompt=tokens["image_url" in json.dumps(body)]), {}

    if refused:
        with pytest.raises(VlmbenchError, match="the same answer, and take 0 tokens"):
            tried(play)
    else:
        found = tried(play)
        assert found["image_tokens"] == 70
        assert found["repeat"] is None


def test_a_server_that_says_nothing_of_tokens_is_taken_at_its_word(tried, completion):
    answer = {"choices": completion("A square.")["choices"]}
    found = tried(lambda *_: (200, answer, {}))
    assert (found["images"], found["image_tokens"]) == (None, None)
    assert found["answers"] == ["A square."] * 3


def test_other_words_the_second_time_are_noted(tried, completion):
    words = iter(["Red.", "Blue", "It is red."])
    found = tried(lambda *_: (200, completion(next(words)), {}))
    assert found["answers"] == ["Red.", "Blue", "It is red."]


def test_one_that_is_not_answered_ends_the_run(tried, completion, colour):
    def play(number, body, headers):
        answered = (200, completion("Red"), {})
        return answered if colour(body) == "Red" else (422, {"detail": "no images here"}, {})

    with pytest.raises(VlmbenchError, match="did not answer a first request: HTTP 422: no images"):
        tried(play)
