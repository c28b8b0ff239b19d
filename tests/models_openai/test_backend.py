"""The backend against a server that plays a script: failures, budget, secrets, resuming."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmbench.models import Prompt
from vlmbench.models.openai import OpenAIBackend, account
from vlmbench.spec import GenerationKwargs, ModelSpec, Server
from vlmbench.types import VlmbenchError

KWARGS = GenerationKwargs(until=("\n",), max_gen_toks=8)


def make(url: str, **server: object) -> OpenAIBackend:
    given = {"api_key_env": "VLMBENCH_TEST_API_KEY", "retries": 2, "timeout_s": 5, "concurrency": 4}
    spec = ModelSpec(
        model="m",
        backend="openai",
        checkpoint="name-on-server",
        server=Server.model_validate({"base_url": url, **given, **server}),
    )
    return OpenAIBackend.load(spec, None, None, None)  # type: ignore[arg-type]


def prompts(n: int) -> list[Prompt]:
    image = Image.new("RGB", (4, 4), (200, 10, 10))
    return [Prompt(user=f"<image>\nquestion {i}", images=(image,)) for i in range(n)]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setattr("vlmbench.models.openai._client.FIRST_WAIT_S", 0.01)


def question(body: dict) -> str:
    return next(p["text"] for p in body["messages"][-1]["content"] if p["type"] == "text").strip()


def test_answers_come_in_order_and_are_cut_at_stop_strings(scripted, completion) -> None:
    def play(number, body, headers):
        time.sleep(0.002 * (7 - number % 8))  # late ones first
        return 200, completion(f"to {question(body)}\nand more"), {}

    with scripted(play) as url:
        replies = make(url).answer(prompts(20), KWARGS)
    assert [reply.text for reply in replies] == [f"to question {i}" for i in range(20)]


def test_what_fails_for_good_is_failed_alone_and_its_reason_holds_no_key(
    scripted, completion, key
) -> None:
    def play(number, body, headers):
        if question(body) == "question 3":
            return 500, {"error": {"message": f"cannot serve {headers['Authorization']}"}}, {}
        if question(body) == "question 5":
            return 422, {"detail": f"no such image for {key}"}, {}
        return 200, completion(f"my key is {key}"), {}

    with scripted(play) as url:
        replies = make(url).answer(prompts(8), KWARGS)
    assert [i for i, reply in enumerate(replies) if reply.error] == [3, 5]
    assert "HTTP 500: cannot serve Bearer [key]; tried 3 times" in replies[3].error
    assert replies[5].error == "HTTP 422: no such image for [key]"
    assert replies[0].text == "my key is [key]"
    assert key not in str(replies)


def test_retry_after_is_honoured(scripted, completion) -> None:
    seen = []

    def play(number, body, headers):
        seen.append(time.monotonic())
        return (200, completion("A"), {}) if number else (429, {}, {"Retry-After": "0.7"})

    with scripted(play) as url:
        assert make(url).answer(prompts(1), KWARGS)[0].text == "A"
    assert seen[1] - seen[0] >= 0.7


def test_an_absurd_retry_after_ends_the_tries(scripted, completion) -> None:
    def play(number, body, headers):
        if question(body) == "question 0":
            return 429, {"error": "quota"}, {"Retry-After": "86400"}
        return 200, completion("A"), {}

    with scripted(play) as url:
        replies = make(url).answer(prompts(2), KWARGS)
    assert "asks to wait 86400 s" in replies[0].error
    assert replies[1].text == "A"


def test_no_more_requests_than_allowed_are_under_way(scripted, completion) -> None:
    now, most, lock = [0], [0], threading.Lock()

    def play(number, body, headers):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.03)
        with lock:
            now[0] -= 1
        return 200, completion("A"), {}

    with scripted(play) as url:
        make(url, concurrency=3).answer(prompts(18), KWARGS)
    assert most[0] == 3  # bounded, and used


def test_a_wrong_key_stops_at_once_and_is_not_repeated(scripted, key) -> None:
    count = []

    def play(number, body, headers):
        count.append(number)
        return 401, {"error": {"message": f"Incorrect API key provided: {key}"}}, {}

    with scripted(play) as url, pytest.raises(VlmbenchError) as error:
        make(url).answer(prompts(40), KWARGS)
    assert "VLMBENCH_TEST_API_KEY" in str(error.value)
    assert key not in str(error.value)
    assert len(count) < 40


def test_a_server_that_answers_nothing_stops_the_run(scripted) -> None:
    with (
        scripted(lambda number, body, headers: (503, b"down", {})) as url,
        pytest.raises(VlmbenchError, match=r"none of the first 6 requests was answered: HTTP 503"),
    ):
        make(url).answer(prompts(6), KWARGS)


def test_a_missing_or_broken_key_is_refused_without_its_value(monkeypatch) -> None:
    monkeypatch.setenv("VLMBENCH_TEST_API_KEY", "sk-with a-space-inside")
    with pytest.raises(VlmbenchError) as error:
        make("http://127.0.0.1:9/v1")
    assert "sk-with" not in str(error.value)
    monkeypatch.delenv("VLMBENCH_TEST_API_KEY")
    with pytest.raises(VlmbenchError, match="VLMBENCH_TEST_API_KEY is not set"):
        make("http://127.0.0.1:9/v1")


PRICES = {"input": 1000.0, "output": 10000.0, "image_tokens": 90}


def test_the_budget_is_never_exceeded_and_answers_are_kept(
    scripted, completion, tmp_path: Path
) -> None:
    """A request costs 0.12 USD, at most 0.45; of a budget of 2 some are answered, none too many."""
    seen = []

    def play(number, body, headers):
        seen.append(question(body))
        return 200, completion(f"to {question(body)}", prompt=100, tokens=2), {}

    journal = tmp_path / "answers.jsonl"
    with scripted(play) as url:
        backend = make(url, prices=PRICES, budget_usd=2.0)
        backend.keep(journal)
        with pytest.raises(VlmbenchError, match="requests could exceed the budget of 2 USD"):
            backend.answer(prompts(30), KWARGS)
        spent = account(journal)
        assert spent["requests"] == len(seen) == len(set(seen))
        assert spent["usd"] == pytest.approx(0.12 * len(seen))
        assert 10 <= len(seen) <= 16  # as many as fit, and no more
        again = make(url, prices=PRICES, budget_usd=20.0)
        again.keep(journal)
        replies = again.answer(prompts(30), KWARGS)
    assert sorted(seen) == sorted(f"question {i}" for i in range(30))  # each paid for once
    assert [reply.text for reply in replies] == [f"to question {i}" for i in range(30)]
    assert sum(reply.usd for reply in replies) == pytest.approx(account(journal)["usd"])


def test_a_lost_answer_is_charged_at_its_most(scripted, completion, tmp_path: Path) -> None:
    def play(number, body, headers):
        if number == 0:
            time.sleep(0.6)  # past the client's patience: the answer exists, and is not seen
        return 200, completion("A", prompt=100, tokens=2), {}

    journal = tmp_path / "answers.jsonl"
    with scripted(play) as url:
        backend = make(url, prices=PRICES, timeout_s=0.3)
        backend.keep(journal)
        backend.answer(prompts(1), KWARGS)
    said = account(journal)
    assert said["usd"] == pytest.approx(0.12)
    text = len("<image>\nquestion 0") + 256 + 90
    assert said["unanswered_usd"] == pytest.approx((1000 * text + 10000 * 8) / 1e6)


def test_a_dearer_answer_than_expected_makes_later_ones_dearer(
    scripted, completion, tmp_path: Path
) -> None:
    def play(number, body, headers):
        return 200, completion("A", prompt=10_000, tokens=2), {}  # about 22 times what was held

    with scripted(play) as url:
        backend = make(url, prices=PRICES, budget_usd=45.0, concurrency=1)
        backend.keep(tmp_path / "answers.jsonl")
        with pytest.raises(VlmbenchError, match="budget"):
            backend.answer(prompts(30), KWARGS)
    assert account(tmp_path / "answers.jsonl")["usd"] <= 45.0


def test_an_answer_cut_off_when_a_run_was_killed_is_asked_again(
    scripted, completion, tmp_path: Path
) -> None:
    seen = []

    def play(number, body, headers):
        seen.append(question(body))
        return 200, completion("A"), {}

    journal = tmp_path / "answers.jsonl"
    with scripted(play) as url:
        first = make(url)
        first.keep(journal)
        first.answer(prompts(3), KWARGS)
        whole = journal.read_text()
        journal.write_text(whole[:-20])
        second = make(url)
        second.keep(journal)
        assert all(reply.text == "A" for reply in second.answer(prompts(3), KWARGS))
    assert len(seen) == 4


def test_likelihoods_need_every_choice_as_a_token_of_its_own(scripted, completion) -> None:
    def play(number, body, headers):
        assert body["logprobs"] is True
        listed = [
            {"A": -0.1, "B": -2.5, "C": -4.0},
            {"A": -0.1, "B": -2.5, "Car": -4.0},  # begins with C, and is not it
            {"A": -0.1, "B": -2.5, "C": -9999.0},  # the servers' word for "not listed"
        ][int(question(body)[-1])]
        return 200, completion("A", **listed), {}

    with scripted(play) as url:
        replies = make(url).answer(prompts(3), KWARGS, [["A", "B", "C"]] * 3)
    np.testing.assert_array_equal(replies[0].logprobs, [-0.1, -2.5, -4.0])
    assert replies[1].logprobs is None
    assert replies[2].logprobs is None


@pytest.mark.parametrize(
    ("text", "first", "counts"),
    [
        ("(A)", {"(": -1e-4, "B": -9.1, "A": -9.6}, False),  # the letters come second
        ("A", {"A": -0.3, "B": -1.6, "(": -3.0}, True),
        ("The", {"The": -0.8, "A": -1.1, "B": -1.2}, True),  # together likelier than not
        ("The", {"The": -0.4, "A": -2.0, "B": -2.1}, False),
        ("B", {"B": -2.0, "A": -2.1, "the": -2.2}, True),
    ],
)
def test_letters_beside_another_first_token_are_no_answer(
    scripted, completion, text, first, counts
) -> None:
    with scripted(lambda *_: (200, completion(text, **first), {})) as url:
        (reply,) = make(url).answer(prompts(1), KWARGS, [["A", "B"]])
    assert (reply.logprobs is not None) == counts
    assert reply.text == text


def test_thoughts_of_a_server_come_off_before_its_answer_is_cut(scripted, completion) -> None:
    said = ["<think>A?\nNo.</think>\nB\nSurely", "<think>A?\nOr B", "no thought\nB"]

    def play(number, body, headers):
        return 200, completion(said[int(question(body)[-1])]), {}

    with scripted(play) as url:
        replies = make(url).answer(prompts(3), KWARGS)
    assert [reply.text for reply in replies] == ["B", "", "no thought"]
    assert replies[0].thoughts == "<think>A?\nNo.</think>"
    assert replies[1].thoughts == said[1]


def test_a_journal_from_before_the_first_token_was_kept_is_read(tmp_path, scripted, completion):
    journal = tmp_path / "answers.jsonl"
    with scripted(lambda *_: (200, completion("A", A=-0.1, B=-3.0), {})) as url:
        first = make(url)
        first.keep(journal)
        first.answer(prompts(1), KWARGS, [["A", "B"]])
        line = json.loads(journal.read_text())
        del line["answer"]["sampled"]
        journal.write_text(json.dumps(line) + "\n")
        again = make(url)
        again.keep(journal)
        (reply,) = again.answer(prompts(1), KWARGS, [["A", "B"]])
    np.testing.assert_array_equal(reply.logprobs, [-0.1, -3.0])


def test_a_server_that_refuses_logprobs_is_asked_without(scripted, completion) -> None:
    wanted = []

    def play(number, body, headers):
        wanted.append("logprobs" in body)
        if "logprobs" in body:
            return 400, {"error": {"message": "logprobs are not supported"}}, {}
        return 200, completion("A"), {}

    with scripted(play) as url:
        backend = make(url, concurrency=1)
        replies = backend.answer(prompts(2), KWARGS, [["A", "B"]] * 2)
        backend.answer(prompts(4)[2:], KWARGS, [["A", "B"]] * 2)
    assert [reply.text for reply in replies] == ["A", "A"]
    assert all(reply.logprobs is None for reply in replies)
    assert wanted[-2:] == [False, False]  # it is asked once a batch, not once a document


def test_never_asks_for_likelihoods_that_were_declined(scripted, completion) -> None:
    bodies = []

    def play(number, body, headers):
        bodies.append(body)
        return 200, completion("A"), {}

    more = {"temperature": None, "reasoning_effort": "none"}
    with scripted(play) as url:
        make(url, logprobs="never", body=more).answer(prompts(1), KWARGS, [["A", "B"]])
    (body,) = bodies
    assert body.keys() == {"model", "messages", "max_completion_tokens", "reasoning_effort"}
    assert body["model"] == "name-on-server"


def test_equal_questions_about_equal_pixels_are_asked_once(scripted, completion) -> None:
    seen = []

    def play(number, body, headers):
        seen.append(json.dumps(body, sort_keys=True))
        return 200, completion("A"), {}

    twice = prompts(2) * 2
    other = Prompt(user="<image>\nquestion 0", images=(Image.new("RGB", (4, 4), (9, 9, 9)),))
    with scripted(play) as url:
        assert len(make(url).answer([*twice, other], KWARGS)) == 5
    assert len(seen) == len(set(seen)) == 3


def test_what_is_no_completion_fails_its_document(scripted, completion) -> None:
    def play(number, body, headers):
        wrong = question(body) == "question 1"
        return 200, b"<html>hello</html>" if wrong else completion("A"), {}

    with scripted(play) as url:
        replies = make(url).answer(prompts(3), KWARGS)
    assert [bool(reply.error) for reply in replies] == [False, True, False]
    assert "not a chat completion" in replies[1].error


def broken(number: int, **error: object) -> dict:
    """Return an error as gateways hide it in a response of status 200."""
    filled = {"message": {"content": None}, "finish_reason": "error", "error": error}
    return [{"error": error}, {"choices": [filled]}, {"object": "error", **error}][number]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "error",
    [
        {"code": 429, "message": "slow down"},
        {"code": "503", "message": "overloaded"},
        {"code": "rate_limit_exceeded", "message": "slow down"},
        {"message": "upstream said nothing"},
    ],
)
def test_an_error_inside_status_200_is_tried_again(
    scripted, completion, place, error, tmp_path
) -> None:
    def play(number, body, headers):
        return 200, completion("A") if number else broken(place, **error), {}

    with scripted(play) as url:
        backend = make(url)
        backend.keep(tmp_path / "answers.jsonl")
        (reply,) = backend.answer(prompts(1), KWARGS)
    assert (reply.text, reply.error) == ("A", "")
    assert account(tmp_path / "answers.jsonl")["requests"] == 1


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_that_stays_fails_the_document_and_is_no_answer(
    scripted, completion, place, tmp_path
) -> None:
    asked = []

    def play(number, body, headers):
        asked.append(question(body))
        if question(body) == "question 1":
            return 200, broken(place, code=429, message="no quota"), {}
        if question(body) == "question 2":
            return 200, broken(place, code="invalid_image", message="no such image"), {}
        return 200, completion("A"), {}

    with scripted(play) as url:
        backend = make(url)
        backend.keep(tmp_path / "answers.jsonl")
        replies = backend.answer(prompts(3), KWARGS)
        again = backend.answer(prompts(3), KWARGS)
    assert [reply.text for reply in replies] == ["A", "", ""]
    assert replies[1].error == "HTTP 200 with an error: no quota; tried 3 times"
    assert replies[2].error == "HTTP 200 with an error: no such image"
    assert [reply.error for reply in again] == [reply.error for reply in replies]
    # Neither is in the journal, so both are asked again: the first three times, the second once.
    counts = [asked.count(f"question {number}") for number in range(3)]
    assert counts == [1, 6, 2]
    assert account(tmp_path / "answers.jsonl")["requests"] == 1


def test_a_key_that_a_gateway_refuses_inside_status_200_stops_the_run(scripted) -> None:
    answer = (200, {"error": {"code": 401, "message": "who?"}}, {})
    said = pytest.raises(VlmbenchError, match=r"HTTP 200 with an error: who\?")
    with scripted(lambda *_: answer) as url, said:
        make(url).answer(prompts(1), KWARGS)


def without_content(finish: str | None, **message: object) -> dict:
    return {"choices": [{"message": {"content": None, **message}, "finish_reason": finish}]}


@pytest.mark.parametrize("finish", ["stop", None, "error"])
def test_an_answer_without_content_is_none(scripted, finish) -> None:
    def play(number, body, headers):
        return 200, without_content(finish) if number < 2 else without_content("length"), {}

    with scripted(play) as url:
        (reply,) = make(url).answer(prompts(1), KWARGS)
    assert (reply.text, reply.finish, reply.error) == ("", "length", "")


@pytest.mark.parametrize(
    ("finish", "message"),
    [
        ("content_filter", {}),
        ("length", {}),
        ("stop", {"refusal": "I will not say."}),
        ("stop", {"reasoning_content": "It could be A or B."}),
        ("tool_calls", {"tool_calls": [{"id": "x"}]}),
    ],
)
def test_an_answer_may_be_empty_where_the_model_made_it_so(scripted, finish, message) -> None:
    tries = []

    def play(number, body, headers):
        tries.append(number)
        return 200, without_content(finish, **message), {}

    with scripted(play) as url:
        (reply,) = make(url).answer(prompts(1), KWARGS)
    assert (reply.text, reply.finish, reply.error) == ("", finish, "")
    assert tries == [0]
