"""Backends and readouts are listed without being imported."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, EntryPoints
from types import SimpleNamespace

import pytest
from home import HEAVY, loaded_by

from vlmbench.registry import Plugin, Registry, _plugins, backends, readouts
from vlmbench.types import Problem, VlmbenchError


def test_shipped_names_are_listed_with_a_line_each() -> None:
    assert list(backends()) == ["hf", "openai", "vllm"]
    assert {"prompted", "encoder", "recorded"} <= set(readouts())
    for plugin in (*backends().values(), *readouts().values()):
        assert plugin.description.endswith(".")
        assert plugin.target.count(":") == 1


@pytest.mark.parametrize("plugin", [*backends().values(), *readouts().values()], ids=repr)
def test_shipped_targets_exist(plugin: Plugin) -> None:
    module, _, attribute = plugin.target.partition(":")
    assert hasattr(import_module(module), attribute)


def test_a_backend_whose_package_is_missing_stays_listed_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = EntryPoint("quick", "no_such_package.engine:Engine", "vlmbench.backends")
    vars(entry)["dist"] = SimpleNamespace(name="quick-engine")
    monkeypatch.setattr(_plugins, "entry_points", lambda group: EntryPoints([entry]))
    plugin = backends()["quick"]
    assert plugin.missing == ("no_such_package",)
    assert plugin.remedy == 'pip install "quick-engine"'
    with pytest.raises(VlmbenchError, match=r'needs no_such_package(.|\n)*pip install "quick'):
        plugin.load()


def test_a_backend_of_another_package_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("fractions", "fractions:Fraction", "vlmbench.backends")
    monkeypatch.setattr(_plugins, "entry_points", lambda group: EntryPoints([entry]))
    plugin = backends()["fractions"]
    assert plugin.missing == ()
    assert plugin.remedy == ""
    assert plugin.load()(1, 2) == 0.5


def test_two_backends_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("hf", "fractions:Fraction", "vlmbench.backends")
    monkeypatch.setattr(_plugins, "entry_points", lambda group: EntryPoints([entry]))
    with pytest.raises(VlmbenchError, match="`hf` is both"):
        backends()


@pytest.mark.parametrize("target", ["fractions:Gone", "fractions.gone:X", "gone_entirely:X"])
def test_targets_that_are_not_there_are_errors(target: str) -> None:
    plugin = Plugin(name="x", description="", target=target)
    with pytest.raises(VlmbenchError, match="cannot be imported"):
        plugin.load()


def test_unknown_names_come_with_the_nearest() -> None:
    registry = Registry(
        "study", [("gap", 1), ("controls", 2)], clash=lambda *_: Problem(message="clash")
    )
    assert (registry["gap"], len(registry), registry.names) == (1, 2, ("gap", "controls"))
    assert "gapp" not in registry
    with pytest.raises(VlmbenchError) as caught:
        registry["contrls"]
    (problem,) = caught.value.problems
    assert problem.message == "there is no study `contrls`"
    assert problem.remedy == (
        "Did you mean `controls`? `vlmbench ls studies` shows: gap, controls."
    )


def test_of_equal_names_the_first_is_kept_and_the_second_reported() -> None:
    registry = Registry(
        "task", [("a", 1), ("a", 2)], clash=lambda n, x, y: Problem(message=f"{n} {x} {y}")
    )
    assert registry["a"] == 1
    assert [problem.message for problem in registry.problems] == ["a 1 2"]


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "from vlmbench.registry import catalogue\n"
        "c = catalogue()\n"
        "assert c.studies.names and [p.missing for p in c.backends.values()]\n"
    )
    assert loaded_by(code, HEAVY | {"datasets", "pandas", "pyarrow", "scipy"}) == set()
