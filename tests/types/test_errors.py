"""Errors arrive whole where another process raised them."""

from __future__ import annotations

import pickle

from vlmbench.files import WriteError
from vlmbench.types import Problem


def test_an_error_comes_out_of_a_pickle_with_its_kind_problems_and_text() -> None:
    problems = [Problem(file="a.yaml", line=n, message="m" * 3_000, remedy="r") for n in (1, 2)]
    error = WriteError(problems)
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is WriteError
    assert found.problems == tuple(problems)
    assert str(found) == str(error)
