"""Rows for what is, a chained log for what happened."""

from honk.store.store import Store, now
from honk.store.tables import open_database

__all__ = ["Store", "now", "open_database"]
