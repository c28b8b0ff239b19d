"""`vlmbench convert prismatic`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from vlmbench.cli._printing import say
from vlmbench.models import prismatic


def from_prismatic(source: Path, target: Path, encoder: str | None, tokenizer: str) -> None:
    """Convert a Prismatic checkpoint and print what became of its tensors."""
    done = prismatic.convert(source, target, encoder=encoder, tokenizer=tokenizer)
    say(f"{done.filled} tensors written to {target}")
    for name in done.zeros:
        say(f"    {name}: filled with zeros, because no output depends on it")
    for why, count in Counter(done.unused.values()).items():
        names = [name for name, reason in done.unused.items() if reason == why]
        shown = ", ".join(names[:3]) + (", ..." if count > 3 else "")
        say(f"    {count} left out, {why}: {shown}")
    say(f"vlmbench run --models {done.model_yaml} --tasks hidden_in_plain_sight")
