"""What asking a server costs, and a budget that is kept by requests under way as well."""

from __future__ import annotations

import threading

from vlmbench.models.openai._wire import Completion, Request
from vlmbench.spec import Server

PER_MILLION = 1e-6
# Tokens that a chat template adds around the messages, generously.
TEMPLATE_TOKENS = 256


class BudgetSpent(Exception):  # noqa: N818 - a state of the run rather than an error
    """The next request could exceed the budget."""


class Ledger:
    """USD spent and set aside, shared by all threads of a run.

    A request is sent only if the budget holds what is spent, what is set aside for requests
    under way, and the most this one can cost: each byte of text a token, `prices.image_tokens`
    an image, the longest answer. Where a request turns out dearer than that, all later ones
    are held to be dearer by the same factor.

    Args:
        server: Prices and budget.
        spent: USD spent in this run folder before.
    """

    def __init__(self, server: Server, spent: float = 0.0) -> None:
        self.prices = server.prices
        self.budget = server.budget_usd
        self.spent = spent
        self._set_aside = 0.0
        self._factor = 1.0
        self._settled = threading.Condition()

    def price(self, prompt_tokens: int | None, completion_tokens: int | None) -> float:
        """Return the USD that these tokens cost; 0.0 if no prices are declared."""
        if self.prices is None:
            return 0.0
        usd = self.prices.input * (prompt_tokens or 0) + self.prices.output * (
            completion_tokens or 0
        )
        return usd * PER_MILLION

    def most(self, request: Request) -> float:
        """Return the most USD that one request can cost."""
        if self.prices is None:
            return 0.0
        text = len((request.prompt.system + request.prompt.user).encode())
        images = len(request.prompt.images) * self.prices.image_tokens
        return self.price(text + images + TEMPLATE_TOKENS, request.most_tokens) * self._factor

    def reserve(self, request: Request) -> float:
        """Set aside what a request can cost, waiting for others to be settled if need be.

        Raises:
            BudgetSpent: If it does not fit, and nothing is under way that could make room.
        """
        with self._settled:
            while True:
                amount = self.most(request)
                if self.budget is None or self.spent + self._set_aside + amount <= self.budget:
                    self._set_aside += amount
                    return amount
                if self._set_aside == 0.0:
                    raise BudgetSpent
                self._settled.wait()

    def settle(self, reserved: float, cost: float) -> None:
        """Replace what was set aside for a request by what it cost."""
        with self._settled:
            self._set_aside = max(0.0, self._set_aside - reserved)
            if self._set_aside < PER_MILLION * PER_MILLION:  # what rounding leaves behind
                self._set_aside = 0.0
            self.spent += cost
            if reserved > 0 and cost > reserved:
                self._factor *= cost / reserved
            self._settled.notify_all()

    def cost(self, completion: Completion, reserved: float) -> float:
        """Return the USD of an answer, or what was set aside if the server reports no usage."""
        if completion.prompt_tokens is None or completion.completion_tokens is None:
            return reserved
        return self.price(completion.prompt_tokens, completion.completion_tokens)
