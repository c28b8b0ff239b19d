"""Which choice a generated reply declares."""

from vlmbench.readouts.grammar._declared import declared
from vlmbench.readouts.grammar._mentions import bare

__all__ = ["bare", "declared"]
