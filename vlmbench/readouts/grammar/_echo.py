"""Whether a reply says of a choice what the question asks for, in the question's own words.

To `Which point is closer to the camera?` these are answers: `Point B is closer to the camera than
point A`, and `The point closer to the camera is B`. These are not: `Point B is on the wing`,
`Point B is farther from the camera`. To `What colour is the cup?` the answer can be `The cup is
red`. Words that say little (articles, `image`, `point`, `is`, `most`) are passed over; every other
one must stand in the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from vlmbench.readouts.grammar._mentions import MENTION, NOUN, plain

_WORD = re.compile(r"[^\W_]{2,}(?:['-][^\W_]+)*|\d")
_LITTLE = frozenset(
    re.findall(
        r"\w+",
        "a an the of to in on at by for with from and or as is are was were be been being has have "
        "had how many number do does appears appear seems seem looks would must more most very "
        "which who what when that this these those it its there likely probably clearly therefore "
        "one ones two three four first second third fourth last latter former following given "
        "them both other each reference ref labeled labelled marked annotated circled point image "
        "picture photo figure box object item region marker circle dot option choice",
    )
)
_PLACE = r"(?:\s*\b(?:on|in|of|at|from) the (?:\w+ )?(?:image|picture|photo|side|view)\b)?"
_ASKS = re.compile(
    rf"\b(which|what)\b(?:(?:\s+\w+){{0,4}}?\s+(?:{NOUN}|one)s?\b{_PLACE})?([^?.\n]*)[?.]",
    re.IGNORECASE,
)
_BESIDES = re.compile(
    rf"\)?(?:,[^,.;:!?\n]{{1,80}},(?=\s*(?:is|appears|seems|looks|corresponds|matches)\b)|{_PLACE})",
    re.IGNORECASE,
)
_QUESTION = re.compile(r"[^?.\n]+\?")
_TURN = re.compile(
    r"[.,;:!?()\n]|\s[-–—]\s|\b(?:than|compared|because|since|as|while|whereas|where|due|and|but|among)\b"
    rf"|{MENTION}",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"(?:\b(?:is|would be|must be|should be|seems to be|appears to be|to|with|matches)\b|:)"
    rf"(?:[\s:(]|\b(?:the|an?|likely|most|probably|therefore|labell?ed|marked|{NOUN})\b)*$",
    re.IGNORECASE,
)
_BREAK = re.compile(
    r"[,;:—]|\b(?:so|but|therefore|thus|hence|because|since|while|however)\b", re.IGNORECASE
)
_OPEN_END = re.compile(r"\b(?:a|an|the|of|to|in|on|at|by|for|with|from)\s*$", re.IGNORECASE)
_ASSERTS = re.compile(r"\)?\s*(?:is|are|was|were|has|have)\b", re.IGNORECASE)


class Question:
    """What a prompt asks.

    Args:
        text: The prompt; empty where it is not known, and nothing is an echo then.
        names: The choices in words, which a question such as `left or right?` holds.
    """

    def __init__(self, text: str, names: Sequence[str]) -> None:
        text = plain(text)
        named = {word for name in names for word in _telling(name)}
        self._known = {*_telling(text), "correspond", "match", "correct", "answer"}
        self._asked = [told for _, asks in _ASKS.findall(text) if (told := _telling(asks))]
        wholes = (set(_telling(whole)) - named for whole in _QUESTION.findall(text))
        # `What colour is the cup?` is answered without its first word, and `Which` is no word.
        asking = (_telling(whole) for whole in _QUESTION.findall(text) if _ASKS.search(whole))
        firsts = {words[0] for words in asking if words}
        self._wholes = [whole - firsts for whole in wholes if whole - firsts]

    def is_echoed(self, left: str, right: str, words: str | None) -> bool:
        """Tell whether a sentence answers the question with the choice that it mentions.

        Args:
            left: What stands before the mention in the sentence.
            right: What stands behind it.
            words: The mention in words; None for the label of a choice that has other words.
        """
        rest = _TURN.split(_BESIDES.sub("", right, count=1).lstrip(") "))[0]
        after = _telling(rest)
        if not _OPEN_END.search(rest) and set(after) <= self._known:
            says = [*_telling(words or ""), *after]
            if any(says[:1] == asked[:1] for asked in self._asked):
                return True
        subject = _SUBJECT.search(left)
        before = _last_clause(left if subject is None else left[: subject.end()])
        if not {*before, *after} <= self._known:
            return False
        if words is not None and any(whole <= {*before, *after} for whole in self._wholes):
            return True
        identity = subject is not None and not after and not _ASSERTS.match(right)
        return identity and any(set(asked) <= set(before) for asked in self._asked)


def _last_clause(text: str) -> list[str]:
    """Return what the last clause tells, of those that tell something."""
    clauses = (_telling(clause) for clause in reversed(_BREAK.split(text)))
    return next((told for told in clauses if told), [])


def _telling(text: str) -> list[str]:
    """Return the stems of the words that say something, in order."""
    words = (word.lower() for word in _WORD.findall(text))
    return [_stem(word) for word in words if not {word, word.removesuffix("s")} & _LITTLE]


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) > len(ending) + 3:
            return word.removesuffix(ending).rstrip("e")
    return word.rstrip("e")
