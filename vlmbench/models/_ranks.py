"""Ranks of low-rank updates that come to a given number of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vlmbench.models._parts import Matrix
from vlmbench.spec import Part, Tuning
from vlmbench.types import Problem, VlmbenchError

# 16.7 million of the 7 billion parameters of the paper's models.
SHARE = 0.0024
LEAST = 32_768
# How far the parts of a model may be from the budget and still be compared.
_TOLERANCE = 0.02


def most_parameters(matrices: Sequence[Matrix]) -> int:
    """Return the parameters of updates of full rank, beyond which more are of no use."""
    return sum(min(matrix.size) * sum(matrix.size) for matrix in matrices)


def budget_of(tuning: Tuning, parts: Mapping[Part, Sequence[Matrix]], total: int) -> int:
    """Return how many parameters the updates of any part have.

    Args:
        tuning: What is asked for.
        parts: The matrices of every part of the model.
        total: Parameters of the model.

    Raises:
        VlmbenchError: If a budget is asked for that some part cannot take.
    """
    most = {part: most_parameters(matrices) for part, matrices in parts.items()}
    smallest = min(most, key=lambda part: most[part])
    if tuning.budget is None:
        return min(max(round(SHARE * total), LEAST), most[smallest])
    if tuning.budget > most[smallest]:
        raise VlmbenchError(
            Problem(
                field="tuning.budget",
                message=f"{tuning.budget:,} parameters do not fit the model's {smallest}, whose "
                f"updates of full rank have {most[smallest]:,}",
                remedy=f"Take at most {most[smallest]:,}, or leave the budget out.",
            )
        )
    return tuning.budget


def solve_ranks(matrices: Sequence[Matrix], budget: int) -> dict[str, int]:
    """Return the rank of each matrix's update so that all together have `budget` parameters.

    An update of rank r of an (m, n) matrix has r (m + n) parameters. All have one rank, or that and
    one more, or full rank where that is less. Those with one more are taken as they come, the
    widest first, while they fit; at the end the one that is left and the smallest if that comes
    nearer. So the sum is off by at most half of the smallest m + n that is not of full rank.

    Args:
        matrices: The matrices, each with a name and a size.
        budget: Parameters of all updates.

    Returns:
        Ranks by name, without those of rank 0.

    Raises:
        VlmbenchError: If that is more than 2% off.
    """

    def at(rank: int) -> dict[str, int]:
        return {matrix.name: min(rank, *matrix.size) for matrix in matrices}

    costs = {matrix.name: sum(matrix.size) for matrix in matrices}
    rank = 0
    while rank < budget and count(at(rank + 1), matrices) <= budget and at(rank + 1) != at(rank):
        rank += 1
    ranks = at(rank)
    left = budget - count(ranks, matrices)
    growing = [matrix for matrix in matrices if min(matrix.size) > rank]
    for matrix in sorted(growing, key=lambda matrix: -costs[matrix.name]):
        if costs[matrix.name] <= left:
            ranks[matrix.name] += 1
            left -= costs[matrix.name]
    same = [matrix for matrix in growing if ranks[matrix.name] == rank]
    smallest = min(same, key=lambda matrix: costs[matrix.name], default=None)
    if smallest is not None and costs[smallest.name] < 2 * left:
        ranks[smallest.name] += 1
    found = count(ranks, matrices)
    if abs(found - budget) > _TOLERANCE * budget:
        raise VlmbenchError(
            Problem(
                field="tuning.budget",
                message=f"updates of {len(matrices)} matrices can have {found:,} parameters, which "
                f"is more than 2% off {budget:,}",
                remedy=f"Take a budget near {max(found, min(costs.values())):,}.",
            )
        )
    return {name: found for name, found in ranks.items() if found}


def count(ranks: Mapping[str, int], matrices: Sequence[Matrix]) -> int:
    """Return the parameters of updates of those ranks."""
    return sum(ranks.get(matrix.name, 0) * sum(matrix.size) for matrix in matrices)
