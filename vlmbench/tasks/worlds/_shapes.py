"""Object categories by name."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from vlmbench.tasks.worlds import _composites, _solids
from vlmbench.tasks.worlds._mesh import Solid
from vlmbench.tasks.worlds._solids import Shape

COMPOSITES: tuple[str, ...] = tuple(_composites.BUILDERS)
"""Categories that have named parts."""

CATEGORIES: tuple[str, ...] = (*_solids.BUILDERS, *COMPOSITES)
"""Every object category, simple solids first."""

# A plinth is furniture: nothing asks for it.
_BUILDERS = {**_solids.BUILDERS, **_composites.BUILDERS, "plinth": _solids.plinth}


@lru_cache(maxsize=256)  # views of one scene share their things
def solid(category: str, shape: Shape) -> Solid:
    """Return the instance of a category with the given parameters.

    Its largest extent is 1; it stands on z = 0 and is centred on the z axis.
    """
    return _BUILDERS[category](shape)


def random_shape(rng: np.random.Generator) -> Shape:
    """Draw instance parameters uniformly."""
    a, b, c, d = rng.uniform(size=4).tolist()
    return (a, b, c, d)
