"""What one session may spend on the model, and what it has spent."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from honk.model import Budget, LimitReached, Spent


class Account:
    """Lets requests through while there is budget for them. For the event loop's thread; `spent` is for any."""

    def __init__(self, budget: Budget | None) -> None:
        self.spent = Spent()
        self._budget = budget
        self._charged = 0.0
        self._under_way: dict[object, float] = {}
        self._settled = asyncio.Condition()

    async def admit(self, most: float) -> object:
        """Wait until a request that costs at `most` so many US dollars can go on, and note that it is under way.

        The budget can be overstepped by one request's cost, never by many that are sent at the same time: what does
        not fit beside those under way waits for them. Raises `LimitReached`.
        """
        request = object()
        async with self._settled:
            while not self._fits(most):
                await self._settled.wait()
            self._under_way[request] = most
        return request

    async def settle(self, request: object, cost: float | None) -> None:
        """Note what a request has cost; None if it was not answered."""
        async with self._settled:
            del self._under_way[request]
            if cost is not None:
                self.spent = Spent(self.spent.cost_usd + cost, self.spent.requests + 1)
            self._settled.notify_all()

    async def settled(self) -> None:
        """Wait until nothing is under way: an answer is there a moment before it is reckoned."""
        async with self._settled:
            await self._settled.wait_for(lambda: not self._under_way)

    def charge(self, cost_usd: float) -> None:
        """What was spent elsewhere on the same budget."""
        self._charged += cost_usd

    def _fits(self, most: float) -> bool:
        budget, spent = self._budget, self.spent
        if budget is not None:
            budget = replace(budget, cost_usd=budget.cost_usd - self._charged)
        if budget is None:
            return True
        if spent.cost_usd >= budget.cost_usd:
            raise LimitReached(
                f"The budget is spent: requests to the model cost ${spent.cost_usd:.2f} of ${budget.cost_usd:.2f} that "
                "were left to this turn; Continue allows more."
            )
        if spent.requests >= budget.requests:
            raise LimitReached(
                f"The limit is reached: {budget.requests} requests to the model were left to this turn; Continue "
                "allows more."
            )
        if not self._under_way:
            return True
        expected = spent.cost_usd + sum(self._under_way.values()) + most
        return expected <= budget.cost_usd and spent.requests + len(self._under_way) < budget.requests
