"""Counts in Prometheus' text format."""

from __future__ import annotations

from collections import Counter

from honk.model import State
from honk.store import Store


def metrics_text(store: Store, waiting_agents: int) -> str:
    """Tasks by state, model cost, model turns, the log's length, and the agents that were started ahead."""
    tasks = store.tasks(limit=1_000_000)
    states = Counter(task.state for task in tasks)
    lines = [
        "# HELP honk_tasks Tasks by where they stand.",
        "# TYPE honk_tasks gauge",
        *(f'honk_tasks{{state="{state.value}"}} {states[state]}' for state in State),
        "# HELP honk_cost_usd_total Model cost of all tasks in US dollars.",
        "# TYPE honk_cost_usd_total counter",
        f"honk_cost_usd_total {sum(task.cost_usd for task in tasks):.6f}",
        "# HELP honk_model_turns_total Requests to the model of all tasks.",
        "# TYPE honk_model_turns_total counter",
        f"honk_model_turns_total {sum(task.turns for task in tasks)}",
        "# HELP honk_events_total Events in the log.",
        "# TYPE honk_events_total counter",
        f"honk_events_total {store.newest_event()}",
        "# HELP honk_waiting_agents Agents that were started ahead and wait for a task.",
        "# TYPE honk_waiting_agents gauge",
        f"honk_waiting_agents {waiting_agents}",
    ]
    return "\n".join(lines) + "\n"
