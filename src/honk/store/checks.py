"""What checks found, and what they printed: by commit, and by all that decides a result."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from honk.model import Check
from honk.store import tables
from honk.store.database import Database, now
from honk.store.rows import read_check

_LOG_BEGIN, _LOG_END = 64_000, 192_000
"""Characters of what a check printed that are kept: its beginning and, where the last words are, its end."""
_MARGIN = 16_000
"""Characters of the longest secret that has a shape, or more."""


class Checks(Database):
    """Results of checks and their logs."""

    def save_checks(
        self, repository: str, commit: str, configuration: str, results: Iterable[Check], tree: str | None = None
    ) -> None:
        """Replace the commit's results. `tree` is git's id of its files."""
        rows = tables.checks
        with self._write() as connection:
            connection.execute(rows.delete().where(rows.c.repository == repository, rows.c.commit == commit))
            for position, check in enumerate(results):
                place = {"repository": repository, "commit": commit, "position": position, "tree": tree}
                connection.execute(insert(rows).values(configuration=configuration, **place, **self._row(check)))

    def checks(self, repository: str, commit: str | None, configuration: str | None = None) -> list[Check]:
        """The commit's results, of one configuration or of any."""
        rows = tables.checks
        wanted = select(rows).where(rows.c.repository == repository, rows.c.commit == commit).order_by(rows.c.position)
        if configuration is not None:
            wanted = wanted.where(rows.c.configuration == configuration)
        with self._read() as connection:
            return [read_check(row) for row in connection.execute(wanted).mappings()]

    def configuration_of(self, repository: str, commit: str) -> str | None:
        """The digest of what the commit's results were made with, if there are any."""
        rows = tables.checks
        wanted = select(rows.c.configuration).where(rows.c.repository == repository, rows.c.commit == commit)
        with self._read() as connection:
            found = connection.execute(wanted).first()
        return str(found[0]) if found else None

    # -- by what decides them ----------------------------------------------------------------------------------------

    def keep_result(self, repository: str, tree: str, commit: str, check: Check) -> None:
        """Put down what `check.verifier` found on a tree, which `commit` has, instead of what it found before."""
        rows = tables.check_results
        key = {"repository": repository, "tree": tree, "verifier": check.verifier}
        values = {"commit": commit, "at": now()} | {
            name: value for name, value in self._row(check).items() if name not in ("verifier", "unchanged_since")
        }
        with suppress(IntegrityError), self._write() as connection:
            connection.execute(delete(rows).where(*(rows.c[name] == value for name, value in key.items())))
            connection.execute(insert(rows).values(**key, **values))

    def result(self, repository: str, tree: str, verifier: str, hours: float) -> Check | None:
        """What the verifier with this digest found on this tree in the last so many hours, and since which commit."""
        rows = tables.check_results
        wanted = select(rows).where(
            rows.c.repository == repository,
            rows.c.tree == tree,
            rows.c.verifier == verifier,
            rows.c.at > _ago(hours=hours),
        )
        with self._read() as connection:
            row = connection.execute(wanted).mappings().first()
        return read_check({**row, "unchanged_since": row["commit"]}) if row else None

    def forget_results(self, repository: str, commit: str) -> None:
        """Have a commit checked afresh the next time, and tried on its base if that was red, too."""
        of_commit, of_tree = tables.checks, tables.check_results
        its = (of_commit.c.repository == repository, of_commit.c.commit == commit)
        with self._write() as connection:
            found = list(connection.execute(select(of_commit.c.tree, of_commit.c.against).where(*its)))
            of_its = of_tree.c.tree.in_({tree for tree, _ in found}) | of_tree.c.commit.in_({base for _, base in found})
            connection.execute(delete(of_tree).where(of_tree.c.repository == repository, of_its))
            connection.execute(delete(of_commit).where(*its))

    # -- flaky ones --------------------------------------------------------------------------------------------------

    def note_flaky(self, repository: str, name: str, key: str) -> int:
        """Count, once a `key`, that a check passed when it was run again; how often it did so far."""
        rows = tables.flaky_checks
        with suppress(IntegrityError), self._write() as connection:
            connection.execute(insert(rows).values(repository=repository, name=name, key=key, at=now()))
        return self.flaky(repository).get(name, 0)

    def flaky(self, repository: str) -> dict[str, int]:
        """How often each check of a repository was flaky, by its name."""
        rows = tables.flaky_checks
        wanted = select(rows.c.name, func.count()).where(rows.c.repository == repository).group_by(rows.c.name)
        with self._read() as connection:
            return {str(name): int(count) for name, count in connection.execute(wanted)}

    # -- logs --------------------------------------------------------------------------------------------------------

    def keep_log(self, output: str) -> str:
        """Keep what a check printed, masked and without the middle where it is long; the SHA-256 of what is kept."""
        text = self._cut(output).encode("utf-8", "replace")
        sha256, rows = hashlib.sha256(text).hexdigest(), tables.check_logs
        with self._write() as connection:
            if connection.execute(update(rows).where(rows.c.sha256 == sha256).values(at=now())).rowcount == 0:
                connection.execute(insert(rows).values(sha256=sha256, data=zlib.compress(text), at=now()))
        return sha256

    def _cut(self, output: str) -> str:
        """The output masked and bounded. More is masked than is kept, so that no secret is cut in two."""
        left = len(output) - _LOG_BEGIN - _LOG_END
        if left <= 2 * _MARGIN:
            return self._mask(output)
        begin = self._mask(output[: _LOG_BEGIN + _MARGIN])[:_LOG_BEGIN]
        end = self._mask(output[-_LOG_END - _MARGIN :])[-_LOG_END:]
        return f"{begin}\n… {left} characters left out …\n{end}"

    def log(self, sha256: str) -> str | None:
        """What was kept under this SHA-256; None if it is not there (any more)."""
        rows = tables.check_logs
        with self._read() as connection:
            data = connection.execute(select(rows.c.data).where(rows.c.sha256 == sha256)).scalar()
        return zlib.decompress(data).decode("utf-8", "replace") if data is not None else None

    def remove_old_logs(self, days: float) -> None:
        """Forget what was printed, and what is known of trees, for longer than so many days."""
        with self._write() as connection:
            for rows in (tables.check_logs, tables.check_results):
                connection.execute(delete(rows).where(rows.c.at < _ago(days=days)))

    def _row(self, check: Check) -> dict[str, object]:
        failures = [self._mask(one) for one in check.failures]
        return asdict(check) | {"summary": self._mask(check.summary), "failures": failures}


def _ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).isoformat(timespec="milliseconds")
