"""Where a reply names one of the choices: by its label, or in the words that the prompt lists.

A reply is first made plain (no Markdown, LaTeX, tags or typographic brackets). Every mention in it
is then replaced by one character from the private-use area, `chr(LABEL + index)` for a label and
`chr(WORDING + index)` for words, so that the grammar of `_declared` is one of plain patterns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

LABEL, WORDING = 0xE000, 0xF000
LABELS, WORDINGS, MENTION = r"[\ue000-\uefff]", r"[\uf000-\uf8ff]", r"[\ue000-\uf8ff]"
NOUN = (
    "(?:option|choice|answer|letter|point|image|picture|photo|figure|box|object|item|region|marker|"
    "circle|dot|label|candidate|panel|view|frame|location|position|shape|statement|number)"
)
"""What may stand before a label: `point B`, `option (B)`."""

_TYPOGRAPHY = {0xFF01 + code: 0x21 + code for code in range(0x5E)}  # full-width: （Ａ）
_TYPOGRAPHY |= {ord(quote): ord("'") for quote in "‘’"} | {ord(quote): ord('"') for quote in "“”"}
_MARKUP = [
    (re.compile(pattern, re.MULTILINE), by)
    for pattern, by in (
        (MENTION, ""),
        (r"<answer>|<\|begin_of_box\|>", "\nFinal answer: "),
        (r"</?[a-z|][^<>\n]*>", " "),
        (r"\\(?:text|textbf|mathrm|mathbf|mathsf|mathit)\s*\{([^{}]*)\}", r"\1"),
        (r"\\(?:boxed|fbox)\s*\{([^{}]*)\}", r"\nFinal answer: \1\n"),
        (r"\$\s*([A-Za-z\\(\n][^$]*)\$", r"\1"),
        (r"\\[()\[\]]", ""),
        # At the edges of words only: `2*3` and `red_cup` are no emphasis.
        (r"(?<!\w)[*_`~\"]+|[*_`~\"]+(?!\w)", ""),
        (r"(?<!\w)'|'(?!\w)", ""),
        (r"[^\S\n]+", " "),
        (r" ?\n[\n ]*", "\n"),
        (r"^ ?(?:(?:[#>]+|[-•+–]|\d+[.)]) (?=\S))+", ""),
    )
]
_END = r"(?=\s*(?:$|[.,;:!?)\]\-–—/&=\n]))"
# After the letter A these show that it is none: "A is closer", "A or B", but not "A cup".
_NO_ARTICLE = (
    rf"(?:{_END}|(?=\s+(?:is|isn't|was|wasn't|has|because|since|as|and|or|but|over|not|rather|than|"
    r"matches|corresponds|seems|appears|looks)\b))"
)


def plain(text: str) -> str:
    """Return text without markup, as someone would read it aloud."""
    text = text.translate(_TYPOGRAPHY)
    for pattern, by in _MARKUP:
        text = pattern.sub(by, text)
    return text.strip()


def mark(text: str, choices: Sequence[str], listed: Sequence[str]) -> str:
    """Return the plain text with every mention of a choice as one character.

    A closing bracket is left behind a label in brackets, since `(B) two cups` gives an answer and
    its explanation as `B) two cups` does. A label beside its own words is one mention.

    Args:
        text: The reply.
        choices: The choices in order.
        listed: What the prompt lists beside each choice; empty if it lists nothing.
    """
    patterns = sorted(_patterns(choices, listed), key=lambda entry: -entry[1])
    codes = [chr(code) for _, _, code in patterns]
    found = re.compile("|".join(f"({pattern})" for pattern, _, _ in patterns), re.MULTILINE)

    def name(match: re.Match[str]) -> str:
        assert match.lastindex is not None, "every pattern is a group"
        return codes[match.lastindex - 1] + (")" if match[0][-1] in ")]}>" else "")

    marked = found.sub(name, plain(text)) if patterns else plain(text)
    marked = re.sub(rf"({LABELS})(\)?)([ \t.:,(–-]*)({MENTION})\)?", _one, marked)
    return re.sub(rf"({WORDINGS})[\s(]+(({LABELS})\)?)", _last, marked)


def _one(match: re.Match[str]) -> str:
    """Return a label for a label with its own words, with a bracket for what parts the two."""
    if index_of(match[1]) != index_of(match[4]):
        return match[0]
    return match[1] + (")" if match[2] or match[3].strip() else "")


def _last(match: re.Match[str]) -> str:
    """Return a label for its own words with it behind them: `two cups (B)`."""
    return match[2] if index_of(match[1]) == index_of(match[3]) else match[0]


def index_of(mention: str) -> int:
    """Return the index of the choice that a character of `mark` stands for."""
    return ord(mention[0]) & 0xFFF


def is_wording(mention: str) -> bool:
    """Tell whether it stands for what the prompt lists, and not for a label."""
    return ord(mention[0]) >= WORDING


@lru_cache(maxsize=4096)  # a task has few choices, and many replies name them
def bare(text: str) -> str:
    """Return the text of a choice without markup, brackets around it and a final full stop."""
    found = plain(text)
    inner = re.fullmatch(r"[(\[{<]\s*([^()\[\]{}<>]+?)\s*[)\]}>]?[.:]?", found)
    return (inner[1] if inner else found).rstrip(".: ") or text.strip()


def labels_of(choices: Sequence[str]) -> list[str]:
    """Return choices as `bare` has them, or as they are where that would make two of them one."""
    labels = [bare(choice) for choice in choices]
    return labels if len(set(labels)) == len(labels) else [choice.strip() for choice in choices]


def _patterns(choices: Sequence[str], listed: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Yield patterns, how long what they match is (longer ones go first), and their characters."""
    labels = labels_of(choices)
    folds = len({label.casefold() for label in labels}) == len(labels)
    for index, label in enumerate(labels):
        length = 0 if len(label) == 1 else len(label)
        for pattern in _label(label, folds=folds):
            yield pattern, length, LABEL + index
    texts = [bare(text) for text in listed]
    known = {label.casefold() for label in labels}
    if len({text.casefold() for text in texts}) == len(labels):
        for index, text in enumerate(texts):
            if text.casefold() not in known:
                yield _whole(text, folds=True), len(text), WORDING + index


def _label(label: str, *, folds: bool) -> Iterator[str]:
    """Yield the patterns of a label: a letter, a whole number, or words."""
    exact = re.escape(label)
    noun = rf"(?:(?i:\b{NOUN})[ \t]+)"
    if len(label) == 1 and label.isalpha():
        other = re.escape(label.swapcase())
        either = f"[{exact}{other}]" if folds else exact
        yield rf"{noun}?[(\[{{<]\s*{either}\s*[)\]}}>]"
        ends = {"A": _NO_ARTICLE, "a": _NO_ARTICLE, "I": _END, "i": _END}.get(label, "")
        yield rf"{noun}{exact}(?![\w'-]){ends if label.islower() else ''}"
        yield rf"(?<![\w'.#&-]){exact}(?![\w'+#-]|\.\w){ends}"
        if folds:
            yield rf"{noun}?(?<![\w'.#&-]){other}(?!\.\w){_END}"
        return
    if label.isdigit():
        yield rf"{noun}?[(\[{{]\s*{exact}\s*[)\]}}]"
        yield rf"{noun}{_whole(label, folds=False)}"
    yield _whole(label, folds=folds)


def _whole(text: str, *, folds: bool) -> str:
    """Return a pattern of words that are not part of longer ones, or of other numbers."""
    before, after = r"(?<![\w-])", r"(?![\w-])"
    if text[0].isdigit():
        before = r"(?<![\w.,:/$€£%+-])"
    if text[-1].isdigit():
        after = r"(?![\w%/°]|[.,:]\d|-\d)"
    body = r"\s+".join(map(re.escape, text.split()))
    start, end = (before if text[0].isalnum() else ""), (after if text[-1].isalnum() else "")
    return f"(?{'i' if folds else ''}:{start}{body}{end})"
