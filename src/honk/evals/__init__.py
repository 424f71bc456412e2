"""Guard and judge measured: a set of changes of which the truth is known, replayed."""

from honk.evals.case import FORMAT, JUDGED, Case, File, Place, Source, Truth
from honk.evals.figures import Figures, Rate, alarms, figures, missed, untrue
from honk.evals.outcomes import Read, task_cases
from honk.evals.reading import read_cases, write_cases
from honk.evals.replay import Guard, Judge, Replayed, replay
from honk.evals.runs import as_data, keep_run, last_run, run_data, set_digest

__all__ = [
    "FORMAT",
    "JUDGED",
    "Case",
    "Figures",
    "File",
    "Guard",
    "Judge",
    "Place",
    "Rate",
    "Read",
    "Replayed",
    "Source",
    "Truth",
    "alarms",
    "as_data",
    "figures",
    "keep_run",
    "last_run",
    "missed",
    "read_cases",
    "replay",
    "run_data",
    "set_digest",
    "task_cases",
    "untrue",
    "write_cases",
]
