"""What was made: the local forge's pull requests, artifacts, deployments."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, func, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from honk.masking import masked_value
from honk.model import Artifact, Finding, PullRequest, Verdict
from honk.store import tables
from honk.store.database import Database, now
from honk.store.rows import read_finding, read_pull_request, read_verdict

_WITHOUT_LOG = [column for column in tables.artifacts.c if column.name != "log"]


@dataclass(frozen=True)
class PackageRow:
    """A package for phones in an artifact. `file` is its path there, `facts` what was read of it as JSON, without its
    `icon` (a PNG); `fault` says why nothing could be read."""

    file: str
    facts: dict[str, Any] | None
    icon: bytes | None = None
    fault: str | None = None


class Results(Database):
    """Rows that belong to a commit."""

    def save_verdict(
        self, repository: str, commit: str, configuration: str, findings: Sequence[Finding], verdict: Verdict | None
    ) -> None:
        """Keep what was found in a commit and, once there is one, the first verdict on it."""
        rows = tables.verdicts
        place = (rows.c.repository == repository) & (rows.c.commit == commit) & (rows.c.configuration == configuration)
        said = masked_value(self._mask, asdict(verdict)) if verdict else None
        with suppress(IntegrityError), self._write() as connection:
            row = connection.execute(select(rows.c.verdict).where(place)).first()
            if row is None:
                found = [masked_value(self._mask, asdict(finding)) for finding in findings]
                key = {"repository": repository, "commit": commit, "configuration": configuration}
                connection.execute(insert(rows).values(**key, findings=found, verdict=said))
            elif said and not row[0]:
                connection.execute(update(rows).where(place).values(verdict=said))

    def verdict(self, repository: str, commit: str, configuration: str) -> tuple[list[Finding], Verdict | None] | None:
        """The findings in a commit and the verdict on it, if they are known."""
        rows = tables.verdicts
        place = (rows.c.repository == repository) & (rows.c.commit == commit) & (rows.c.configuration == configuration)
        with self._read() as connection:
            row = connection.execute(select(rows).where(place)).mappings().first()
        if row is None:
            return None
        said = read_verdict(row["verdict"]) if row["verdict"] else None
        return [read_finding(finding) for finding in row["findings"]], said

    def save_pull_request(self, repository: str, branch: str, title: str, body: str, head_sha: str) -> PullRequest:
        """Open the branch's pull request on the local forge, or bring it up to date; one a branch."""
        rows = tables.pull_requests
        key = (rows.c.repository == repository) & (rows.c.branch == branch)
        with self._write() as connection:
            if connection.execute(select(rows.c.number).where(key)).first():
                connection.execute(
                    update(rows).where(key).values(title=title, body=body, head_sha=head_sha, state="open")
                )
            else:
                last = connection.execute(
                    select(func.max(rows.c.number)).where(rows.c.repository == repository)
                ).scalar()
                connection.execute(
                    insert(rows).values(
                        repository=repository,
                        number=(last or 0) + 1,
                        branch=branch,
                        title=title,
                        body=body,
                        state="open",
                        head_sha=head_sha,
                    )
                )
            return read_pull_request(connection.execute(select(rows).where(key)).mappings().one())

    def pull_request(self, repository: str, branch: str) -> PullRequest | None:
        rows = tables.pull_requests
        wanted = select(rows).where(rows.c.repository == repository, rows.c.branch == branch)
        with self._read() as connection:
            row = connection.execute(wanted).mappings().first()
        return read_pull_request(row) if row else None

    def close_pull_request(self, repository: str, branch: str, state: str) -> None:
        rows = tables.pull_requests
        with self._write() as connection:
            connection.execute(
                update(rows).where(rows.c.repository == repository, rows.c.branch == branch).values(state=state)
            )

    def save_artifact(
        self, task_id: str, artifact: Artifact, fingerprint: str | None = None, compared_with: str | None = None
    ) -> None:
        """One a task, commit and kind. Saving again changes the content and how it was made, and offers it again; what
        was offered all along keeps its time. `fingerprint` names what the build read, `compared_with` is the SHA-256 of
        the artifact that people have."""
        rows = tables.artifacts
        key = (rows.c.task_id == task_id) & (rows.c.commit == artifact.commit) & (rows.c.kind == artifact.kind)
        content: dict[str, Any] = {"sha256": artifact.sha256, "size": artifact.size, "removed": False, "void": False}
        content |= {"fingerprint": fingerprint, "compared_with": compared_with}
        if made := artifact.making:
            at = made.at.astimezone(UTC).isoformat(timespec="milliseconds")
            content |= {"built_at": at, "machine": made.machine, "command": made.command, "seconds": made.seconds}
            content["log"] = self._mask(made.log)
        with self._write() as connection:
            known = connection.execute(select(rows).where(key)).mappings().first()
            if known is None:
                connection.execute(
                    insert(rows).values(
                        task_id=task_id, commit=artifact.commit, kind=artifact.kind, offered_at=now(), **content
                    )
                )
                return
            if known["void"] or known["removed"] or known["offered_at"] is None:
                content["offered_at"] = now()
            connection.execute(update(rows).where(key).values(**content))

    def save_packages(self, sha256: str, found: Iterable[PackageRow]) -> None:
        """Keep what was read of an artifact's packages; what is kept already stays."""
        rows = tables.packages
        new = [{"sha256": sha256} | asdict(one) for one in found]
        # Who else was first with it read the same.
        with suppress(IntegrityError), self._write() as connection:
            if new and connection.execute(select(rows.c.file).where(rows.c.sha256 == sha256)).first() is None:
                connection.execute(insert(rows), new)

    def packages(self, sha256s: Collection[str], *, icons: bool = False) -> dict[str, list[PackageRow]]:
        """What is known of the packages in artifacts, by their SHA-256; those without packages are left out."""
        rows = tables.packages
        columns = [column for column in rows.c if icons or column.name != "icon"]
        wanted = select(*columns).where(rows.c.sha256.in_(sha256s)).order_by(rows.c.sha256, rows.c.file)
        found: dict[str, list[PackageRow]] = {}
        if not sha256s:
            return found
        with self._read() as connection:
            for row in connection.execute(wanted).mappings():
                one = PackageRow(row["file"], row["facts"], row.get("icon"), row["fault"])
                found.setdefault(row["sha256"], []).append(one)
        return found

    def compare_with(self, task_id: str, commit: str, kind: str, sha256: str) -> None:
        """Note which artifact holds what people have, where that was not known when this one was built."""
        rows = tables.artifacts
        key = (rows.c.task_id == task_id) & (rows.c.commit == commit) & (rows.c.kind == kind)
        with self._write() as connection:
            connection.execute(update(rows).where(key, rows.c.compared_with.is_(None)).values(compared_with=sha256))

    def same_build(self, repository: str, kind: str, fingerprint: str) -> RowMapping | None:
        """The newest artifact of the repository that is kept and was made of the same."""
        rows = tables.artifacts
        return self._newest_artifact(
            repository, (rows.c.kind == kind) & (rows.c.fingerprint == fingerprint) & rows.c.removed.is_not(True)
        )

    def landed_artifact(self, repository: str, kind: str, without: str) -> RowMapping | None:
        """The newest artifact of a change that has landed, of other tasks than `without`."""
        rows, tasks = tables.artifacts, tables.tasks
        return self._newest_artifact(
            repository, (rows.c.kind == kind) & tasks.c.merged_sha.is_not(None) & (tasks.c.id != without)
        )

    def _newest_artifact(self, repository: str, which: ColumnElement[bool]) -> RowMapping | None:
        rows, tasks = tables.artifacts, tables.tasks
        wanted = (
            select(rows)
            .join(tasks, tasks.c.id == rows.c.task_id)
            .where(tasks.c.repository == repository, rows.c.built_at.is_not(None), which)
            .order_by(rows.c.built_at.desc())
            .limit(1)
        )
        with self._read() as connection:
            return connection.execute(wanted).mappings().first()

    def void_artifacts(self, task_id: str, keep_commit: str) -> None:
        """Whatever was built from another commit than `keep_commit` is not offered any longer."""
        rows = tables.artifacts
        with self._write() as connection:
            connection.execute(
                update(rows).where(rows.c.task_id == task_id, rows.c.commit != keep_commit).values(void=True)
            )

    def artifact_rows(self, task_id: str | None = None) -> list[RowMapping]:
        """Rows of a task or of all, in all columns but the log."""
        wanted = select(*_WITHOUT_LOG)
        if task_id is not None:
            wanted = wanted.where(tables.artifacts.c.task_id == task_id)
        with self._read() as connection:
            return list(connection.execute(wanted).mappings())

    def artifact_row(self, task_id: str, commit: str, kind: str) -> RowMapping | None:
        """The row of one artifact, with how it was made."""
        rows = tables.artifacts
        return self._artifact((rows.c.task_id == task_id) & (rows.c.commit == commit) & (rows.c.kind == kind))

    def offered(self, token: str) -> RowMapping | None:
        """The artifact whose preview has that token."""
        return self._artifact(tables.artifacts.c.token == token)

    def _artifact(self, place: ColumnElement[bool]) -> RowMapping | None:
        with self._read() as connection:
            return connection.execute(select(tables.artifacts).where(place)).mappings().first()

    def offer(self, task_id: str, commit: str, kind: str, token: str, port: int | None) -> None:
        """Note that the artifact's preview can be visited from now on, and how."""
        rows = tables.artifacts
        key = (rows.c.task_id == task_id) & (rows.c.commit == commit) & (rows.c.kind == kind)
        with self._write() as connection:
            connection.execute(update(rows).where(key).values(token=token, port=port, offered_at=now()))

    def kept_artifacts(self) -> list[RowMapping]:
        """Rows of artifacts that are kept, each with its task's `state`, `merged_sha` and `updated_at`."""
        rows, tasks = tables.artifacts, tables.tasks
        wanted = (
            select(*_WITHOUT_LOG, tasks.c.state, tasks.c.merged_sha, tasks.c.updated_at)
            .join(tasks, tasks.c.id == rows.c.task_id)
            .where(rows.c.removed.is_not(True))
        )
        with self._read() as connection:
            return list(connection.execute(wanted).mappings())

    def remove_artifacts(self, keys: Iterable[tuple[str, str, str]]) -> None:
        """Note that artifacts, by task, commit and kind, are not kept any longer."""
        rows = tables.artifacts
        with self._write() as connection:
            for task_id, commit, kind in keys:
                key = (rows.c.task_id == task_id) & (rows.c.commit == commit) & (rows.c.kind == kind)
                connection.execute(update(rows).where(key).values(removed=True))

    def tasks_in_production(self) -> set[str]:
        """The tasks whose deployments are under way, are each repository's newest healthy one, or come before that."""
        rows = tables.deployments
        with self._read() as connection:
            found = connection.execute(select(rows).order_by(rows.c.position.desc())).mappings().all()
        tasks, seen, wanted = set(), set(), set()
        for row in found:
            place = row["repository"], row["commit"]
            if row["status"] == "running" or place in wanted:
                tasks.add(row["task_id"])
            if row["status"] == "healthy" and row["repository"] not in seen:
                seen.add(row["repository"])
                tasks.add(row["task_id"])
                wanted.add((row["repository"], row["previous"]))
        return tasks

    def set_port(self, task_id: str, commit: str, kind: str, port: int | None) -> None:
        """Where the running server serves this artifact."""
        rows = tables.artifacts
        key = (rows.c.task_id == task_id) & (rows.c.commit == commit) & (rows.c.kind == kind)
        with self._write() as connection:
            connection.execute(update(rows).where(key).values(port=port))

    def save_deployment(self, repository: str, commit: str, task_id: str, status: str) -> None:
        """Note how a deployment stands. A new one remembers the healthy one before it."""
        rows = tables.deployments
        key = (rows.c.repository == repository) & (rows.c.commit == commit)
        with self._write() as connection:
            if connection.execute(select(rows.c.status).where(key)).first():
                connection.execute(update(rows).where(key).values(status=status))
                return
            last = connection.execute(select(func.max(rows.c.position)).where(rows.c.repository == repository)).scalar()
            connection.execute(
                insert(rows).values(
                    repository=repository,
                    commit=commit,
                    task_id=task_id,
                    status=status,
                    position=(last or 0) + 1,
                    previous=self._healthy(connection, repository),
                )
            )

    @staticmethod
    def _healthy(connection: Connection, repository: str) -> str | None:
        rows = tables.deployments
        wanted = select(rows.c.commit).where(rows.c.repository == repository, rows.c.status == "healthy")
        found: str | None = connection.execute(wanted.order_by(rows.c.position.desc()).limit(1)).scalar()
        return found

    def deployment(self, repository: str, commit: str | None = None) -> RowMapping | None:
        """The deployment of a commit, or the newest one that is neither ill nor rolled back."""
        rows = tables.deployments
        wanted = select(rows).where(rows.c.repository == repository)
        if commit is not None:
            wanted = wanted.where(rows.c.commit == commit)
        else:
            wanted = wanted.where(rows.c.status == "healthy").order_by(rows.c.position.desc()).limit(1)
        with self._read() as connection:
            return connection.execute(wanted).mappings().first()
