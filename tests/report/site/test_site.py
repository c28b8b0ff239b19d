"""What a site is made of: images that are the right ones or none, a cap, and nothing from afar."""

from __future__ import annotations

import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

from home import loaded_by, vlmbench
from PIL import Image
from sites import SQUARE, Asked, made

from vlmbench.models import Letterbox
from vlmbench.report.site import in_words

IDS = [f"doc-{i}" for i in range(45)]
GOLD = [i % 2 for i in range(45)]
CELLS = {
    "one": [
        Asked(condition="own", readout="prompted", answers=[0] * 45),
        Asked(condition="blank", readout="prompted", answers=[1] * 45),
        Asked(condition="own", readout="encoder", answers=GOLD),
    ]
}


def read(path: Path) -> Any:
    """Return what a data file hands over."""
    text = path.read_text().removeprefix("vlmbenchData(").removesuffix(");\n")
    return json.loads(f"[{text}]")[1]


def test_images_are_those_of_the_documents_and_stored_once(tmp_path: Path) -> None:
    site, _ = made(tmp_path, CELLS, ids=IDS).site()
    page = read(site / "data" / "t" / "page-1.js")
    of_model, of_encoder = page["docs"][0]["images"]  # document 40, on image 40 % 3
    given = (tmp_path / "data" / "1.png").read_bytes()
    assert (site / "images" / of_model[0]["f"]).read_bytes() == given
    box = Letterbox(side=SQUARE["side"], fill=(0, 0, 0))
    squared = box.square(Image.open(tmp_path / "data" / "1.png").convert("RGB"))
    assert Image.open(site / "images" / of_encoder[0]["f"]).tobytes() == squared.tobytes()
    files = list((site / "images").iterdir())
    assert len(files) == 6
    assert all(hashlib.sha256(f.read_bytes()).hexdigest().startswith(f.stem) for f in files)


def test_other_documents_than_those_that_were_run_are_not_shown(tmp_path: Path) -> None:
    site, written = made(tmp_path, CELLS, ids=IDS, digest="0" * 64).site()
    assert list((site / "images").iterdir()) == []
    index = read(site / "data" / "t" / "index.js")
    assert "are not those that were run" in index["why"]
    assert read(site / "data" / "t" / "page-0.js")["docs"][0]["images"] == []
    assert "are not those that were run" in (site / "index.html").read_text()
    assert any("images are not shown" in remark for remark in written.remarks)


def test_a_cap_is_kept_and_said(tmp_path: Path) -> None:
    site, _ = made(tmp_path, CELLS, ids=IDS).site(most=10)
    assert len(read(site / "data" / "t" / "index.js")["ids"]) == 10
    assert not (site / "data" / "t" / "page-1.js").exists()
    assert "the first 10 of 45 documents" in (site / "index.html").read_text()


def test_flags_say_what_credit_says(tmp_path: Path) -> None:
    site, _ = made(tmp_path, CELLS, ids=IDS).site()
    flags = read(site / "data" / "t" / "index.js")["flags"]["one"]
    assert [bool(flag & 1) for flag in flags] == [True] * 45
    assert [bool(flag & 4) for flag in flags] == [gold == 0 for gold in GOLD]
    assert [bool(flag & 8) for flag in flags] == [gold == 1 for gold in GOLD]


def test_nothing_comes_from_elsewhere_and_no_script_stands_in_a_page(tmp_path: Path) -> None:
    site, _ = made(tmp_path, CELLS, ids=IDS).site()
    pages = sorted(site.glob("*.html"))
    assert [page.name for page in pages] == [
        "index.html", "model-one.html", "samples.html", "task-t.html"
    ]  # fmt: skip
    for page in pages:
        text = html.unescape(page.read_text())
        assert "default-src 'none'; script-src 'self'" in text
        for target in re.findall(r'(?:src|href)="([^"#]*)', text):
            assert not target or (site / target).exists(), target
        assert not re.search(r"<script(?! src=)|\sstyle=|\son\w+=", text)


def test_its_size_is_told_to_the_byte_and_by_the_command(tmp_path: Path) -> None:
    held = made(tmp_path, CELLS, ids=IDS)
    site, written = held.site()
    assert written.size == sum(f.stat().st_size for f in site.rglob("*") if f.is_file())
    said = vlmbench("report", held.run, "--output", tmp_path / "s", "--include-path", tmp_path)
    assert in_words(written.size) in said.words


def test_no_model_library_is_loaded_before_an_image_is_squared() -> None:
    assert "torch" not in loaded_by("import vlmbench.report.site")
