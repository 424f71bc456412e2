"""`honk egress list|allow|revoke`: the hosts that people let repositories' commands reach by a tap."""

from __future__ import annotations

import uuid

from rich.markup import escape
from rich.table import Table

from honk.cli.run import local_person, open_installation
from honk.surfaces.terminal import print_json, progress, results


def list_allowances(*, as_json: bool) -> None:
    """See `honk egress list`."""
    found = open_installation().store.allowances()
    if as_json:
        told = [
            {"repository": one.repository, "host": one.host, "port": one.port, "by": one.name, "at": one.at.isoformat()}
            for one in found
        ]
        print_json({"allowed": told})
        return
    if not found:
        progress.print("Nobody has allowed anything by a tap; what honk.yaml and HONK_EGRESS name is not listed here.")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("repository", "host", "by", "at"):
        table.add_column(name, overflow="fold")
    for one in found:
        by = escape(f"{one.name} ({one.person})")
        table.add_row(escape(one.repository), escape(f"{one.host}:{one.port}"), by, f"{one.at:%Y-%m-%d %H:%M}")
    results.print(table)


def allow(task_id: str, host: str) -> None:
    """See `honk egress allow`."""
    inbox = open_installation().inbox
    task = inbox.act(task_id, "allow", None, uuid.uuid4().hex, local_person(), host=host)
    progress.print(f"Allowed in {escape(task.repository)}: {escape(host)}")


def revoke(repository: str, host: str) -> None:
    """See `honk egress revoke`."""
    open_installation().inbox.revoke(repository, host, local_person())
    progress.print(f"Taken back in {escape(repository)}: {escape(host)}")
