"""How answers are worded: patterns over text in which every mention is one character.

Those that look back end with `$` and are searched in what stands before a mention in its sentence;
those that look ahead are matched against what stands behind it.
"""

from __future__ import annotations

import re

from vlmbench.readouts.grammar._mentions import MENTION, NOUN


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_ONE = rf"{MENTION}\)?"
RUN = _pattern(
    rf"{_ONE}(?:(?:[\s,.]*(?:\b(?:and/or|and|or|nor|vs)\b|[/&]))?\s*\(?{_ONE}"
    rf"|,\s*\(?{_ONE}(?=\s*(?:[,.!?)]|$|(?:and|or)\b)))*"
)
"""Choices named in one breath: `A`, `A or B`, `A, B and C`, but not `Unlike A, B is`."""
SENTENCE = re.compile(
    rf"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!vs\.)\s+(?!(?:and|or)\s+\(?{MENTION})|\n+|;\s*"
)
GOES_ON = _pattern(rf"(:|\b(?:is|be|answer))\s*\n\s*(?!\(?{MENTION}[^\n]*\n\s*\(?{MENTION})")
"""A line that the next one ends: `The answer is:`. The next one is no list of choices."""
TAKEN_BACK = _pattern(
    r"\b(?:on second thought|scratch that|correction\b|i made a mistake|i was wrong|let me correct)"
    rf"|(?:^|[.!?]\s+|\n)(?:(?:oh,? |but |hmm,? |no,? )?wait(?:,? no)?\b|no,(?= {MENTION}))"
)

# -- before a mention -----------------------------------------------------------------------------

_FILL = (
    r"(?:[\s:=,>→(\-–]|\b(?:the|an?|as follows|therefore|thus|probably|most|likely|clearly|indeed|"
    rf"definitely|actually|simply|still|labell?ed|marked|{NOUN}|not {_ONE},? but)\b)*$"
)
_IS = (
    r"(?:\s*(?:\b(?:is|was|be|would be|should be|must be|will be|has to be|seems to be|"
    r"appears to be)\b|'s\b|[:=→]|->|\s-))"
)
_ASIDE = (
    r"(?:,[^,.\n]{0,30},|\s(?:to|for|of|in|on|here|from|among|based|given|with|that|which|choice|"
    rf"option)\b(?:(?!{MENTION})[^.;:!?\n]){{0,120}}?)?"
)
FINALLY = _pattern(rf"\bfinal (?:answer|choice|decision|selection)\b{_ASIDE}{_IS}?{_FILL}")
"""`The final answer is`."""
ANSWER_IS = _pattern(
    r"(?:\b(?:answer|ans|solution|verdict|best guess|"
    r"my (?:choice|pick|selection|guess|assessment|conclusion))\b|"
    r"\b(?:correct|right|best|appropriate|suitable|chosen|selected)(?: \w+)? "
    rf"(?:{NOUN}|one|match|response|fit|selection)\b){_ASIDE}{_IS}{_FILL}"
)
"""`Answer:`, `The correct option for this image would be`."""
I_CHOOSE = _pattern(
    r"\b(?:I|we)(?:'d|'ll|'m)?(?: would| will| must| shall| should| have to| had to| am)?"
    r"(?: \w+ly)?(?: have)? (?:choose|chose|chosen|select|selected|pick|picked|go with|going with|"
    r"went with|say|lean towards?|opt for|settle on|answer with|answer|conclude|think|believe|"
    rf"guess)(?: that)?(?: it's| it is)?{_FILL}"
)
"""`I would say`."""
OPENING = _pattern(
    r"(?P<so>(?:so|therefore|thus|hence|well|okay|ok|sure|yes|finally|overall|in conclusion|"
    r"in summary|in short|i'd say|in my (?:opinion|view)|it's|it is|it would be|it must be|"
    r"it should be|that would be|clearly|definitely|probably|most likely|likely|"
    rf"(?:based on|given|from|looking at|considering)(?:(?!{MENTION})[^,.\n])*,)[\s,:!]*)*{_FILL}"
)
"""What may open a sentence that is an answer: nothing, `Option`, or a conclusion `So, it is`."""
DOUBT = _pattern(
    r"\b(?:not|never|no|nor|neither|without|cannot|unable|impossible|unlikely|unclear|unsure|"
    r"uncertain|doubt|hard|difficult|might|may|could|perhaps|possibly|maybe|either|wrong|incorrect|"
    r"than)\b|n't\b"
)
SUPPOSED = _pattern(r"\b(?:if|unless|whether|suppose|supposing|assuming)\b")
FORCED = _pattern(
    r"\bif (?:(?:I|we) (?:had to|have to|must|were to|was to|am|were)|forced)\b[^,\n]{0,60},"
)
"""`If I had to choose,`, which supposes nothing."""
CLAUSE = _pattern(
    r"[,;:—]|\b(?:so|but|therefore|thus|hence|and|because|since|while|whereas|although|though|"
    r"however|making|which)\b"
)

# -- behind a mention -----------------------------------------------------------------------------

IS_GOOD = _pattern(
    r"\)?,?\s*(?:(?:is|are|was|would be|should be|must be|seems to be|appears to be|makes|provides|"
    r"represents)\s+)?(?:(?:most likely|likely|probably|clearly|definitely|indeed|therefore|thus|"
    r"also|the|a|only)\s+)*(?:(?:correct|right|best)(?=\s*(?:$|[.,!;:)]|because|since|as\b|here))|"
    r"(?:correct|right|best|closest|most \w+|final|my|only)(?: correct)? "
    rf"(?:{NOUN}|one|match|fit|response|selection|solution)\b|the (?:answer|match)\b|"
    r"(?:best|correctly) (?:match|fit|answer|complete)\w*|match\w* best|fits? best)"
)
"""`is the correct answer`, `best matches`."""
IS_BAD = _pattern(
    r"\)?[\s.:;\-–(]*(?:(?:is|are|was|were|would be|seems|appears|looks|can be|should be|must be)"
    r"\s+)*(?:(?:also|clearly|definitely|therefore|the|an?)\s+)*(?:not\b|n't|isn't|wasn't|aren't|"
    r"doesn't|does not|incorrect|wrong|false\b|eliminated|excluded|ruled out|rejected|unlikely)"
)
"""`is wrong`, `can be ruled out`."""
ENDS = _pattern(r"[\s.!),]*$")
EXPLAINED = _pattern(r"\s*[.:\-–—(]|\)|,?\s+(?:because|since|as)\b|,\s*which\b")
NOT_ANOTHER = _pattern(
    rf",?\s+(?:(?:and|but) )?(?:not|rather than|instead of|over)\s+(?:the )?\(?{MENTION}"
)
"""`B, not A`."""
VERB = _pattern(
    r"\)?\s*(?:is|are|was|were|has|have|had|does|do|did|can|could|may|might|would|will|should|"
    r"seems|appears|looks|shows|depicts|lies|sits|refers|represents|contains|features|and|or|nor)\b"
)
WORDS_END = _pattern(r"\)?\s*(?:$|[.,;:!?)(\-–—\n]|(?:because|since|as|so|which|for)\b)")
ITEM = re.compile(r"\)|\s*[.:\-–]\s")
"""What makes a mention at the start of a line an item of a list."""
