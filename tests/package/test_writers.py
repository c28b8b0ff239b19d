"""Every place that writes, moves or deletes files is known, with what keeps it in its folder."""

from __future__ import annotations

import pytest
from home import ROOT
from writers import writers, writers_of

# Why what a stranger chose (a name, an id, a spec, a row) cannot lead a writer out of its folder.
_MEMORY = "into memory, or not a file at all"
_USER = "a folder that the user names on the command line, and fixed names in it"
_CACHE = "the cache folder, and digests or fixed names in it"
_NAMED = "the run's folder, and names by `file_name`, a task's pattern and a condition's label"
CONFINED = {
    "annotate/_documents.py: write_annotations": "--output, or `annotations_file` has checked it; "
    "`check_replaceable` has looked at what it replaces",
    "annotate/_sheet.py: write_sheets": _USER,
    "cli/_catalogue.py: init": "--output and the name that the user types; never an existing file",
    "cli/_catalogue.py: _write_images": "--output, and names by `file_name`",
    "cli/_site.py: view": "a temporary folder",
    "cli/_organisms.py: gate": "the card beside the weights of the model that the user names",
    "cli/_publish.py: _write_hub": "--output, and names by `file_name` below a repository's",
    "cli/_publish.py: publish": "--output, and names by `file_name` below a repository's",
    "files.py: drafted": "its callers, which are listed here",
    "files.py: replacing": "its callers, which are listed here",
    "files.py: seal": "its callers, which are listed here",
    "files.py: sealed": "the folder of a cache's entry, named by a digest",
    "files.py: sweep": "only `*.partial` in the run's folder",
    "files.py: sync_folder": "changes nothing",
    "files.py: write_atomically": "its callers, which are listed here",
    "metrics/_rows.py: dump_rows": _MEMORY,
    "models/_lora.py: save_lora": _CACHE,
    "models/_past.py: positions_seen": _MEMORY,
    "models/_prefix.py: prefixed": _MEMORY,
    "models/_prefix.py: save_prefix": _CACHE,
    "models/openai/_wire.py: _data_url": _MEMORY,
    "models/prismatic/_convert.py: _record": _USER,
    "models/prismatic/_convert.py: convert": "TARGET, and beside it a model id that is a file name",
    "organisms/_curves.py: curves_svg": _MEMORY,
    "organisms/_export.py: export": _USER,
    "organisms/_images.py: _draw_shard": _CACHE,
    "organisms/_images.py: load_images": _CACHE,
    "organisms/_loop.py: _log": _CACHE,
    "organisms/_loop.py: _save": _CACHE,
    "organisms/_recipe.py: write_schema": "beside the source, for who develops it",
    "organisms/_train.py: _stages": _CACHE,
    "organisms/_train.py: train": _USER,
    "organisms/_tuning.py: _forget_path": _CACHE,
    "organisms/_tuning.py: taught": _CACHE,
    "organisms/_twin.py: teach": _USER,
    "publish/_inspect.py: export_inspect": "--output, and names by `file_name`",
    "readouts/probes/_depth.py: FittedDepthHead.save": _CACHE,
    "readouts/probes/_fit_depth.py: depth_head": _CACHE,
    "readouts/probes/_store.py: FeatureStore._make_room": _CACHE,
    "readouts/probes/_store.py: FeatureStore.save": _CACHE,
    "readouts/probes/_tap.py: FeatureTap._save": _CACHE,
    "readouts/tuning/_train.py: _Training._keep": _CACHE,
    "readouts/tuning/_train.py: _Training._refuse_explosion": _CACHE,
    "readouts/tuning/_tuned.py: _trained": _CACHE,
    "report/_board.py: _differing": _MEMORY,
    "report/cards/_plots/_difficulty.py: save_difficulty": _USER,
    "report/_check.py: _by_name": _MEMORY,
    "report/_check.py: identical": _MEMORY,
    "report/_files.py: _csv": _MEMORY,
    "report/_files.py: leaderboard": _USER,
    "report/cards/_folder.py: write_card": _NAMED,
    "report/cards/_plots/_style.py: save": _NAMED,
    "report/site/_follow.py: Follower._page": "a temporary folder",
    "report/site/_follow.py: Follower._write_samples": "a temporary folder",
    "report/site/_follow.py: Follower.update": "a temporary folder",
    "report/site/_pictures.py: Store._thumb": _MEMORY,
    "report/site/_pictures.py: Store.add": "--output, and names by a digest",
    "report/site/_samples.py: _write": "--output, and names by `file_name`",
    "report/site/_write.py: _Site._plots": "--output, and names by `file_name` and `file_stem`",
    "report/site/_write.py: _Site._put": "--output, and names by `file_name` and `file_stem`",
    "report/site/_write.py: _Site.write": _USER,
    "run/_model_run.py: ModelRun.is_there": _NAMED,
    "run/_model_run.py: ModelRun.write": _NAMED,
    "run/_models.py: _side_by_side": "a temporary folder",
    "run/_models.py: here": "a temporary folder",
    "run/_pool.py: Pool._hand_out": _MEMORY,
    "spec/_schemas.py: write_schemas": "beside the source, for who develops it",
    "store/_folder.py: RunFolder.ask": _NAMED,
    "store/_folder.py: RunFolder.claim": _NAMED,
    "store/_folder.py: RunFolder.finish": _NAMED,
    "store/_folder.py: RunFolder.reopen": _NAMED,
    "store/_journal.py: Appended.add": _NAMED,
    "store/_journal.py: Journal._open": _NAMED,
    "store/_journal.py: Journal.remove": _NAMED,
    "store/_parquet.py: write_parquet": "its callers, which are listed here",
    "store/_record.py: Record.write": _NAMED,
    "tasks/_redraw.py: _compressed": _MEMORY,
    "tasks/sources/_items.py: png": _MEMORY,
    "tasks/sources/_kept.py: _is_whole": _CACHE,
    "tasks/sources/_kept.py: _write": _CACHE,
    "tasks/sources/_kept.py: kept": _CACHE,
    "tasks/worlds/_build.py: _is_whole": "the data folder, a world's name and a digest",
    "tasks/worlds/_build.py: _write": "the data folder, a world's name and a digest",
    "tasks/worlds/_build.py: export": "--output, and a task's name",
    "tasks/worlds/_rows.py: _png": _MEMORY,
    "types/_image.py: _png": _MEMORY,
}


def test_every_writer_is_known_with_its_reason() -> None:
    found = writers_of(ROOT / "vlmbench")
    unknown = sorted(found - set(CONFINED))
    assert not unknown, f"say in CONFINED what keeps these in their folder: {unknown}"
    assert not sorted(set(CONFINED) - found), "these write nothing any more"


@pytest.mark.parametrize(
    "call",
    [
        "path.write_text(x)", "open(p, 'w')", "p.open('ab')", "p.open(mode='x')", "open(p, m)",
        "open(p, mode=m)", "gzip.open(p, 'wb')", "path.replace(other)", "shutil.copy(a, b)",
        "save_file(state, p)", "np.savez(p)", "tempfile.mkstemp()", "image.save(p)",
    ],
)  # fmt: skip
def test_a_writer_is_seen(call: str) -> None:
    assert [where for where, _ in writers(f"class A:\n  def f(self):\n    {call}")] == ["A.f"]


@pytest.mark.parametrize(
    "call",
    ["open(p)", "p.open('rb')", "p.open(encoding='utf-8')", "t.replace('a', 'b')", "x.copy()",
     "replace(task, spec=spec)", "dataclasses.replace(task, spec=spec)", "gzip.open(p)"],
)  # fmt: skip
def test_a_reader_is_not(call: str) -> None:
    assert list(writers(call)) == []
