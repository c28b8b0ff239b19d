"""The shipped model's spec, with its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vlmbench.spec import Located, ModelSpec


@pytest.fixture(scope="session")
def located() -> Located[ModelSpec]:
    from vlmbench.registry import catalogue

    (model,) = catalogue().select_models("tiny-clip")
    return model
