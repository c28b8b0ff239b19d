r"""Which choice a reply declares: the grammar of answers.

A reply is read sentence by sentence, where a line ends a sentence too. A mention of a choice (see
`_mentions`) declares it where it is, in falling order of weight,

1. *final*: `Final answer: B`, `\boxed{B}`, `<answer>B</answer>`;
2. *said*: `The correct answer is B`, `Answer: B`, `I would choose B`, `B is the best match`,
   `So, B`;
3. *standing*: alone (`B`, `(b)`, `**Option B**.`), or first of all with what explains it
   (`B) two cups`, `(B) because ...`, `Yes, it is`);
4. *echoed*: asserted in the words of the question (see `_echo`).

What has most weight decides, so that a final answer stands above all that went before it. Nothing
is declared where that names several choices (`A or B`, `Answer: A` and later `Answer: B`), or where
what is said is not what stands alone. These never count: what is denied (`not A`, `A is wrong`),
doubted (`it might be A`, `maybe A`), supposed (`if ..., A`), asked (`A?`) or listed (`A: two cups`,
`B: three cups`), and whatever a reply takes back (`Wait, ...`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from vlmbench.readouts.grammar import _phrases as phrases
from vlmbench.readouts.grammar._echo import Question
from vlmbench.readouts.grammar._mentions import MENTION, bare, index_of, is_wording, labels_of, mark

_JOINED = "\v"  # where one line goes on in the next
_NEAR = 400  # characters before and behind a mention that are looked at
_YES_NO = frozenset({"yes", "no", "true", "false"})


class _Weight(IntEnum):
    """How plainly a choice is declared."""

    ECHOED = 0
    STANDING = 1
    SAID = 2
    FINAL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mention:
    """Choices named in one breath.

    Attributes:
        named: Their indices.
        words: The last one in words; None for the label of a choice that has other words.
        left: What stands before them in their sentence.
        right: What stands behind.
        opens: Whether their sentence is the first.
        torn: Whether their sentence was cut off.
    """

    named: frozenset[int]
    words: str | None
    left: str
    right: str
    opens: bool
    torn: bool


def declared(
    text: str,
    choices: Sequence[str],
    *,
    listed: Sequence[str] = (),
    question: str = "",
    cut: bool = False,
) -> int | None:
    """Return the index of the choice that a reply declares; None where it declares none.

    Args:
        text: The reply, without thoughts.
        choices: The choices: letters or numbers, in brackets or not, or words.
        listed: What the prompt lists beside each choice; empty if it lists nothing.
        question: The prompt, whose words an answer may repeat; nothing is an echo without it.
        cut: Whether the reply ended at its length limit. What stands first may then have been
            the start of a list, and the last words of longer ones.
    """
    names = [bare(one) for one in listed] or labels_of(choices)
    asked = Question(question, names)
    found: dict[_Weight, set[int]] = {weight: set() for weight in _Weight}
    items: set[int] = set()
    for mention in _mentions(text, choices, listed, cut=cut):
        if phrases.IS_BAD.match(mention.right):
            continue
        if not mention.left and phrases.ITEM.match(mention.right):
            items |= mention.named
        weight = _weigh(mention, asked)
        if weight is not None:
            found[weight] |= mention.named
    standing = found[_Weight.STANDING]
    if len(standing | items) > 1 or (cut and not _is_all(text, choices, listed)):
        standing.clear()
    if not found[_Weight.FINAL] and found[_Weight.SAID] and standing - found[_Weight.SAID]:
        return None
    heaviest = next((found[weight] for weight in reversed(_Weight) if found[weight]), set())
    return heaviest.pop() if len(heaviest) == 1 else None


def _is_all(text: str, choices: Sequence[str], listed: Sequence[str]) -> bool:
    """Tell whether a reply is a mention and nothing else."""
    return bool(re.fullmatch(rf"[\s.(]*{MENTION}[\s.)]*", mark(text, choices, listed)))


def _mentions(
    text: str, choices: Sequence[str], listed: Sequence[str], *, cut: bool
) -> Iterator[_Mention]:
    """Yield what a reply names, leaving out questions and what it takes back."""
    marked = phrases.GOES_ON.sub(rf"\1{_JOINED}", mark(text, choices, listed))
    kept = re.split(phrases.TAKEN_BACK, marked)[-1]
    sentences = [part.strip() for part in phrases.SENTENCE.split(kept) if part.strip()]
    labels = labels_of(choices)
    for place, sentence in enumerate(sentences):
        if sentence.endswith("?"):
            continue
        last = place == len(sentences) - 1
        for run in phrases.RUN.finditer(sentence):
            ones = re.findall(MENTION, run[0])
            index, closes = index_of(ones[-1]), run[0].endswith(")")
            label = labels[index]
            own = is_wording(ones[-1]) or not (len(label) == 1 and label.isalpha())
            yield _Mention(
                named=frozenset(map(index_of, ones)),
                words=bare(listed[index]) if is_wording(ones[-1]) else label if own else None,
                left=_beside(sentence[: run.start()]),
                right=")" * closes + sentence[run.end() :][:_NEAR],
                opens=place == 0,
                torn=cut and last and not sentence.endswith((".", "!")),
            )


def _beside(left: str) -> str:
    """Return the end of what stands before a mention: a model that loops never ends a sentence."""
    return left if len(left) <= _NEAR else f"…{left[-_NEAR:]}"


def _weigh(mention: _Mention, asked: Question) -> _Weight | None:
    left, right = phrases.FORCED.sub("", mention.left), mention.right
    if mention.torn and mention.words is not None and not right.strip():
        return None
    if not phrases.SUPPOSED.search(left):
        said = _said(left, mention)
        if said is not None:
            return said
        if phrases.IS_GOOD.match(right) and not _is_doubted(left):
            return _Weight.SAID
    opening = phrases.OPENING.fullmatch(left.rpartition(_JOINED)[2])
    if opening:
        explained = phrases.NOT_ANOTHER.match(right) or (
            phrases.EXPLAINED.match(right) and not phrases.VERB.match(right)
        )
        assents = right.startswith(",") and (mention.words or "").lower() in _YES_NO
        if phrases.ENDS.match(right) or (mention.opens and (explained or assents)):
            return _Weight.SAID if opening["so"] else _Weight.STANDING
    if mention.torn or phrases.SUPPOSED.search(left) or _is_doubted(left):
        return None
    return _Weight.ECHOED if asked.is_echoed(left, right, mention.words) else None


def _said(left: str, mention: _Mention) -> _Weight | None:
    """Return the weight of a mention that a cue comes before; None without one."""
    right = mention.right
    ends = bool(phrases.WORDS_END.match(right))
    if phrases.VERB.match(right) or (mention.words is not None and not ends):
        return None
    for weight, cue, strict in (
        (_Weight.FINAL, phrases.FINALLY, False),
        (_Weight.SAID, phrases.ANSWER_IS, False),
        # `I think B is farther` says something else of B.
        (_Weight.SAID, phrases.I_CHOOSE, True),
    ):
        match = cue.search(left) if ends or not strict or right.startswith(")") else None
        if match and not _is_doubted(left[: match.start()]):
            return weight
    return None


def _is_doubted(left: str) -> bool:
    """Tell whether the clause that a mention stands in denies or doubts what follows."""
    return bool(phrases.DOUBT.search(phrases.CLAUSE.split(left)[-1]))
