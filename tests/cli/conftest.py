"""The command line at its first use."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def databases() -> None:
    """None: whoever is here comes to a machine on which Honk has never run."""
