"""How many documents may fail is a count or a share, and nothing else."""

from __future__ import annotations

import pytest

from vlmbench.plan import MostFailed
from vlmbench.types import VlmbenchError


@pytest.mark.parametrize(
    ("text", "allowed", "too_many", "of"),
    [
        ("10%", 10, 11, 100),
        ("10%", 0, 1, 9),
        ("2.5%", 5, 6, 200),
        ("0", 0, 1, 9),
        ("25", 25, 26, 30),
    ],
)
def test_as_many_as_it_says_may_fail(text, allowed, too_many, of):
    most = MostFailed.parse(text)
    assert str(most) == text
    assert most.allows(allowed, of)
    assert not most.allows(too_many, of)


@pytest.mark.parametrize("text", ["", "many", "-1", "1.5", "101%", "%", "10 %%"])
def test_anything_else_is_refused(text):
    with pytest.raises(VlmbenchError, match="is not valid") as caught:
        MostFailed.parse(text)
    assert caught.value.problems[0].field == "--max-failed"


def test_everything_may_fail_where_the_user_says_so():
    assert MostFailed.parse("100%").allows(7, 7)
    assert MostFailed().allows(1, 10)
