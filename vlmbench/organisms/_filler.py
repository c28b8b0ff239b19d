"""Common English words: for the tokenizer's merges, and for questions that mean nothing.

A task's wording is new to the models, and they should still answer it with a letter. So they are
shown questions of random words whose answer is a random letter: they learn the format and nothing
else.
"""

from __future__ import annotations

import numpy as np

_TEXT = """
the a an of to and in on at is are was be it its this that these those which what who where
when why how many much more most less least one two three four five six other others another
same different each every any all both none no not only also very just about above across
after again against along among around as back because before behind below beside best better
between big both bottom but by can center centre choose choice choices choosing clear close
closer closest farther far camera compare compared consider considering contain contains
correct corresponding correspond corresponds could describe determine display distance do does
done drawn edge either end even example expected exactly eye fact few final find first follow
following follows for from front function functional further give given gives go good great
group has have here high highest hold how human identify if image images picture pictures into
item items job kind known label labelled labeled large larger largest last lay leave left lie
like likely line little located location long look looking looks low lower made main make
marked mark marker markers match matches matching may mean might middle must name named near
nearer nearest need never new next now number object objects odd odder off often old once open
option options or order our out over own painting pair part parts paint people perform performs
person photo photograph place placed please point points position possible purpose question
read ref reference relate related relative rest right role same scene second see select seen
semantic sample several shape share shared should show shown shows side similar similarly
single small smaller smallest some something space start still style styles subject such sure
surface system take task tell than their them then there they thing things third fourth think
time together tool top toward turn turned two type under unlike until up upon upper use used
useful using usually view viewed viewer viewpoint visible wall want was way well were while
whole will with within without word words work would write written year you your answer
answers letter letters directly directed given respond reply circle circles colour color
coloured rings box boxes tag tags ability action activity art artist artwork belong
belongs carried carry category common depth drawing grasp hand handle instance light lit method
pattern room rotate rotated texture touch world
"""

WORDS = tuple(_TEXT.split())


def salad(rng: np.random.Generator, low: int, high: int) -> str:
    """Return between `low` and `high` random words as if they were a sentence."""
    words = [WORDS[int(i)] for i in rng.integers(len(WORDS), size=int(rng.integers(low, high + 1)))]
    text = " ".join(words)
    cut = int(rng.integers(len(words)))
    if len(words) > 8 and cut > 2:
        text = " ".join(words[:cut]) + ". " + " ".join(words[cut:]).capitalize()
    return text[0].upper() + text[1:] + ("?" if rng.random() < 0.7 else ".")
