"""How many threads a model gets: one if it is small, unless someone has chosen."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vlmbench.models import HfBackend, share_threads
from vlmbench.models._threads import SMALL, fit_threads
from vlmbench.spec import ModelSpec


def sized(parameters: int) -> nn.Module:
    module = nn.Module()
    module.weight = nn.Parameter(torch.empty(parameters, device="meta"))
    return module


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch):
    """Let torch have two threads that nobody has asked for."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    share_threads(2)
    yield
    share_threads(before)


def test_a_small_model_gets_one_thread_and_the_next_large_one_all_again():
    for size, threads in ((SMALL - 1, 1), (SMALL, 2), (SMALL - 1, 1)):
        fit_threads(sized(size))
        assert torch.get_num_threads() == threads


def test_a_share_is_the_most_that_any_model_gets():
    share_threads(3)
    fit_threads(sized(SMALL))
    assert torch.get_num_threads() == 3


def test_who_sets_torchs_number_has_chosen():
    torch.set_num_threads(4)
    fit_threads(sized(1))
    assert torch.get_num_threads() == 4


def test_who_sets_the_variable_has_chosen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    fit_threads(sized(1))
    assert torch.get_num_threads() == 2


def test_loading_a_small_model_is_enough(llava_folder):
    spec = ModelSpec(model="m", backend="hf", checkpoint=str(llava_folder))
    HfBackend.load(spec, None, torch.device("cpu"), torch.float32)
    assert torch.get_num_threads() == 1
