"""Rows for what is, a chained log for what happened."""

from honk.store.allowances import Allowance
from honk.store.attachments import Attachments
from honk.store.database import now
from honk.store.kept_workspaces import Kept, KeptWorkspaces
from honk.store.results import PackageRow
from honk.store.statements import StatementRow
from honk.store.store import Store
from honk.store.tables import open_database, write_ahead

__all__ = [
    "Allowance",
    "Attachments",
    "Kept",
    "KeptWorkspaces",
    "PackageRow",
    "StatementRow",
    "Store",
    "now",
    "open_database",
    "write_ahead",
]
