"""Stories from their very beginning."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def databases() -> None:
    """None: whoever is here comes to a machine on which Honk has never run."""
