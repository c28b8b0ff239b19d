"""What the docs repeat of the published page is what the page says, bold included."""

from __future__ import annotations

import re

from home import ROOT


def table(text: str, head: str) -> dict[tuple[str, str], str]:
    """Return the cells of the first table whose head starts so, by line and column."""
    lines = text[text.index(head) :].split("\n\n", maxsplit=1)[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    columns = rows[0]
    return {
        (row[0], name): cell for row in rows[2:] for name, cell in zip(columns, row, strict=True)
    }


def test_the_gaps_in_the_docs_are_those_of_the_page():
    page = (ROOT / "leaderboard" / "README.md").read_text("utf-8")
    docs = (ROOT / "docs" / "reading-the-leaderboard.md").read_text("utf-8")
    published = table(page, page[page.index("| Model ") :][:20])
    repeated = table(docs, "| gap | art_style")
    gaps = {key: cell for key, cell in repeated.items() if key[1] != "gap"}
    assert len(gaps) == 4 * 7
    assert all(re.fullmatch(r"(\*\*)?[+-]\.\d{3}(\*\*)?", cell) for cell in gaps.values())
    assert gaps == {key: published[key] for key in gaps}


def test_worked_conclusions_are_drawn_from_numbers_of_the_page():
    page = (ROOT / "leaderboard" / "README.md").read_text("utf-8")
    docs = (ROOT / "docs" / "reading-a-gap.md").read_text("utf-8")
    today, earlier = [], 0
    for paragraph in docs.split("\n\n"):
        found = re.findall(r"(?<!\d)[+-]?\.\d{3}", paragraph)
        if "In an earlier edition" in paragraph:
            earlier += 1
        else:
            today += found
    assert earlier == 1
    assert len(today) > 30
    assert [number for number in today if number not in page] == []
