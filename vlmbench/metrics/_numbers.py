"""How numbers are written, everywhere that people read them.

- *In tables and in the verdict*: three decimals and no leading zero, `.523`; differences with a
  sign, `+.357`. Zero is `.000` whatever its sign, and so is what rounds to it.
- *In tables of many units* (`sized`): as above from .01 to 100, no decimals above that, two
  significant digits below.
- *In sentences* (`told`, `brief`): three significant digits of a result, two of a limit, with the
  leading zero.
- An interval is put in brackets behind its value; where there is none, there are no brackets.
- What was not measured is `MISSING`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from vlmbench.metrics._rows import StatRow
from vlmbench.types import Stat

ROUNDING = 1e-9
"""Numbers closer than this are equal: sums in another order differ by less, and nothing else does.
"""

MISSING = "–"
"""What is written where there is no number."""


def rate(value: float | None, places: int = 3) -> str:
    """Write a number with so many decimals and no leading zero: `.523`."""
    if value is None or math.isnan(value):
        return MISSING
    text = f"{value:z.{places}f}"  # z: what rounds to zero has no sign
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def signed(value: float) -> str:
    """Write a difference with its sign: `+.357`, `-.021`, `.000`."""
    text = rate(value)
    return text if text in (MISSING, ".000") or text.startswith("-") else f"+{text}"


def p_value(value: float) -> str:
    """Write a p-value; what would round to 0 is `<.001`."""
    return "<.001" if value < 0.001 else rate(value)


def above(bound: float, level: float = 0.0) -> bool:
    """Tell whether a bound lies above a level by more than rounding; 3e-18 is not above 0."""
    return bound - level > ROUNDING


def clear_of_zero(stat: Stat | StatRow) -> bool:
    """Tell whether an interval leaves 0 out as it is written; one that ends at .000 does not."""
    return rate(stat.low) != ".000" != rate(stat.high) and (stat.low > 0.0 or stat.high < 0.0)


def number(
    stat: Stat | StatRow | None,
    *,
    sign: bool = False,
    bold: bool = False,
    mark: str = "",
    interval: bool = True,
) -> str:
    """Write a value, its marks and, if it has one, its interval: `.523† [.466, .579]`.

    Args:
        stat: The number; None if it was not measured.
        sign: Whether it is a difference, written with its sign.
        bold: Whether the value is set in bold; one that rounds to .000 never is.
        mark: What is put behind the value.
        interval: Whether its interval is written.
    """
    if stat is None or math.isnan(stat.value):
        return MISSING
    write = signed if sign else rate
    plain = write(stat.value)
    value = f"**{plain}**{mark}" if bold and plain != ".000" else f"{plain}{mark}"
    return _with_interval(stat, value, write) if interval else value


def sized(stat: Stat) -> str:
    """Write a value and its interval with the digits that its size asks for."""
    return _with_interval(stat, _sized(stat.value), _sized)


def told(stat: Stat) -> str:
    """Write a value and its interval for a sentence: `0.45 [0.4, 0.5]`."""
    return _with_interval(stat, f"{stat.value:.3g}", lambda value: f"{value:.3g}")


def brief(value: float) -> str:
    """Write a limit for a sentence, with two significant digits: `1e-06`."""
    return f"{value:.2g}"


def _with_interval(stat: Stat | StatRow, value: str, write: Callable[[float], str]) -> str:
    if math.isnan(stat.value):
        return MISSING
    if math.isnan(stat.low) or math.isnan(stat.high):
        return value
    return f"{value} [{write(stat.low)}, {write(stat.high)}]"


def _sized(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:.0f}"
    if value == 0 or abs(value) >= 0.01:
        return rate(value)
    return f"{value:.1e}" if abs(value) < 0.0005 else f"{value:.2g}".replace("0.", ".", 1)
