"""The site in Chromium: filter, open, keys, sort, many documents, hostile text, narrow windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait
from sites import Asked, Made, made

from vlmbench.types import plain

IDS = [f"doc-{i}" for i in range(8)]
GOLD = [0, 1, 0, 1, 0, 1, 0, 1]
WRONG = [1, 0, 1, 0, 1, 0, 1, 0]


def cells(**more: Any) -> list[Asked]:
    """The encoder is right about 0 to 5; the model about 0 and 6, is silent on 2, fails on 3."""
    return [
        Asked(condition="own", readout="prompted", answers=[0, 0, -1, -2, 1, 0, 0, 0], **more),
        Asked(condition="blank", readout="prompted", answers=[0, 1, *WRONG[2:]]),
        Asked(condition="own", readout="encoder", answers=[*GOLD[:6], *WRONG[6:]]),
        Asked(condition="own+hint-wrong-strong", readout="prompted", hint=WRONG,
              answers=[*WRONG[:2], *GOLD[2:]]),
    ]  # fmt: skip


MODELS = {"one": cells(), "two": [Asked(condition="own", readout="prompted", answers=GOLD)]}


@pytest.fixture
def opened(tmp_path: Path) -> tuple[Made, str]:
    held = made(tmp_path, MODELS, ids=IDS)
    return held, f"file://{held.site()[0]}"


def look(browser: Any, address: str, until: str = "main h1") -> None:
    browser.get("about:blank")  # an address that differs in its fragment alone loads nothing
    browser.get(address)
    WebDriverWait(browser, 20).until(lambda it: it.find_elements("css selector", until))


def shown(browser: Any) -> str:
    return str(browser.execute_script("return document.querySelector('#shown h2')?.textContent"))


def listed(browser: Any) -> list[str]:
    return [row.text for row in browser.find_elements("css selector", "#rows .row b")]


def complaints(browser: Any) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]


def test_what_the_encoder_gets_and_the_model_misses_comes_first(browser: Any, opened: Any) -> None:
    look(browser, f"{opened[1]}/samples.html#model=one", "#shown h2")
    assert listed(browser) == ["doc-1", "doc-2", "doc-4", "doc-5"]
    assert shown(browser) == "doc-1"
    images = browser.find_elements("css selector", "#views img")
    loaded = (
        "return arguments[0].complete && [arguments[0].naturalWidth, arguments[0].naturalHeight]"
    )
    wait = WebDriverWait(browser, 20)
    sizes = [wait.until(lambda it, of=image: it.execute_script(loaded, of)) for image in images]
    assert sizes == [[48, 32], [48, 48]], "the model's image, and the square of the encoder"
    assert complaints(browser) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hint", ["doc-0", "doc-1"]), ("blind", ["doc-0", "doc-1"]), ("abstained", ["doc-2"]),
        ("failed", ["doc-3"]), ("differ", ["doc-1", "doc-2", "doc-4", "doc-5", "doc-7"]),
        ("right", ["doc-0", "doc-6"]), ("all", IDS),
    ],
)  # fmt: skip
def test_a_filter_shows_the_documents_that_it_names(
    browser: Any, opened: Any, name: str, expected: list[str]
) -> None:
    look(browser, f"{opened[1]}/samples.html#model=one", "#shown h2")
    Select(browser.find_element("id", "filter")).select_by_value(name)
    assert listed(browser) == expected


def test_keys_go_on_and_back_and_to_the_filter(browser: Any, opened: Any) -> None:
    look(browser, f"{opened[1]}/samples.html#filter=all", "#shown h2")
    body = browser.find_element("tag name", "body")
    seen = [shown(browser)]
    for key in ("n", "n", "p"):
        before = shown(browser)
        body.send_keys(key)
        WebDriverWait(browser, 10).until(lambda it, old=before: shown(it) != old)
        seen.append(shown(browser))
    assert seen == ["doc-0", "doc-1", "doc-2", "doc-1"]
    body.send_keys("f")
    assert browser.switch_to.active_element.get_attribute("id") == "filter"
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    WebDriverWait(browser, 10).until(lambda it: shown(it) == "doc-2")


def test_a_link_leads_to_a_document(browser: Any, opened: Any) -> None:
    look(browser, f"{opened[1]}/samples.html#model=one&filter=all&doc=doc-5", "#shown h2")
    assert shown(browser) == "doc-5"


def test_a_document_says_what_was_answered_and_why_not(browser: Any, opened: Any) -> None:
    look(browser, f"{opened[1]}/samples.html#model=one&filter=all&doc=doc-2", "#shown h2")
    rows = browser.find_elements("css selector", "#shown tbody tr")
    said = {tuple(cell.text for cell in row.find_elements("tag name", "td")[:3]): row.text
            for row in rows}  # fmt: skip
    assert "abstained: The model wrote nothing." in said["one", "prompted", "own"]
    assert "● .750" in said["one", "encoder", "own"]
    assert "✓ right" in said["one", "encoder", "own"]
    look(browser, f"{opened[1]}/samples.html#model=one&filter=all&doc=doc-3", "#shown h2")
    assert "failed: it broke" in browser.find_element("id", "shown").text


def test_a_table_is_sorted_by_the_column_that_is_chosen(browser: Any, opened: Any) -> None:
    look(browser, f"{opened[1]}/task-t.html")
    table = browser.find_element("css selector", "[aria-label='Every readout and condition'] table")
    (head,) = (h for h in table.find_elements("tag name", "th") if h.text == "Accuracy")

    def values() -> list[float]:
        cells = table.find_elements("css selector", "tbody td:nth-child(4)")
        return [float(cell.text.split()[0].rstrip("§")) for cell in cells]

    for order, falls in (("descending", True), ("ascending", False)):
        head.find_element("tag name", "button").send_keys(Keys.ENTER)
        assert head.get_attribute("aria-sort") == order
        assert values() == sorted(values(), reverse=falls)
        assert len(set(values())) > 1


PAGES = ("index.html", "task-t.html", "model-one.html", "samples.html#filter=all")


@pytest.mark.parametrize("page", PAGES)
def test_no_page_is_wider_than_a_phone(browser: Any, opened: Any, page: str) -> None:
    phone = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        look(browser, f"{opened[1]}/{page}")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 400
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert complaints(browser) == []


HOSTILE = (
    "</script><script>document.title='broken'</script><img src=x onerror=document.title='broken'>",
    "\u202eevil\u202c \x1b[31mred\x1b[0m `code` **bold** [link](javascript:document.title='')",
    "| a | b |\n|---|---|\n<b>x</b> {{ 7 * 7 }} ${7*7} \u2028 ' \" & --> ]]>",
    "x" * 30_000,
)


@pytest.mark.parametrize("text", HOSTILE, ids=("script", "marks", "markdown", "long"))
def test_hostile_text_alters_nothing(browser: Any, tmp_path: Path, text: str) -> None:
    ids = [f"{i}{text}"[:2_000] for i in range(8)]
    held = {"one": cells(prompt=text, reply=text)}
    site, _ = made(tmp_path, held, ids=ids, alias=text[:400]).site()
    for page in ("index.html", "task-t.html", "model-one.html"):
        look(browser, f"file://{site}/{page}")
        assert browser.title != "broken"
        foreign = "script:not([src='site.js']), b b, img[src=x], a[href^=javascript]"
        assert not browser.find_elements("css selector", foreign)
        assert "\u202e" not in browser.page_source
        assert "\x1b" not in browser.page_source
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 1300
    look(browser, f"file://{site}/samples.html#model=one&filter=all", "#shown pre")
    assert browser.title == "Documents"
    said = browser.execute_script("return document.querySelector('#shown pre').textContent")
    assert said == plain(text, longest=20_000)
    assert not browser.find_elements("css selector", "#shown script, #shown b b, img[src=x]")
    assert complaints(browser) == []


MEASURE = """
const done = arguments[arguments.length - 1];
const times = [];
const select = document.getElementById("filter"), list = document.getElementById("list");
const changes = ["all", "right", "missed", "wrong", "all"].map((name) => () => {
  select.value = name;
  select.dispatchEvent(new Event("change"));
}).concat([0.2, 0.5, 0.9].map((part) => () => { list.scrollTop = part * list.scrollHeight; }));
const next = () => {
  if (!changes.length) return done(times);
  const start = performance.now();
  changes.shift()();
  list.getBoundingClientRect();
  requestAnimationFrame(() => requestAnimationFrame(() => {
    times.push(performance.now() - start);
    next();
  }));
};
next();
"""


def test_20_000_documents_are_filtered_and_scrolled_in_a_fifth_of_a_second(
    browser: Any, tmp_path: Path
) -> None:
    n = 20_000
    answers = [i % 3 % 2 for i in range(n)]
    wanted = [
        Asked(condition="own", readout="prompted", answers=answers),
        Asked(condition="own", readout="encoder", answers=[i % 2 for i in range(n)]),
    ]
    held = made(tmp_path, {"one": wanted}, ids=[f"doc-{i:05}" for i in range(n)])
    site, written = held.site()
    assert written.size < 50e6
    assert len(list((site / "images").iterdir())) == 6, "3 images, and the square of each"
    look(browser, f"file://{site}/samples.html#filter=all", "#shown h2")
    assert browser.find_element("id", "count").text == "20000 of 20000 documents"
    least = browser.execute_async_script(MEASURE)
    for _ in range(20):  # what else the machine does makes a step slower, and never faster
        if max(least) >= 200:
            least = list(map(min, least, browser.execute_async_script(MEASURE)))
    assert max(least) < 200, least
    assert len(browser.find_elements("css selector", "#rows .row")) < 60
