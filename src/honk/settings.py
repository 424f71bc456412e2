"""Settings: the environment, or `honk.toml` in Honk's home. The environment wins."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from honk.model import UsageError

_DOMAIN = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.?")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _home() -> Path:
    return Path(os.environ.get("HONK_HOME") or Path.home() / ".honk").expanduser().absolute()


class Settings(BaseSettings):
    """Everything that can be set. In `honk.toml` the names are without the `HONK_` prefix, in lower case."""

    model_config = SettingsConfigDict(env_prefix="HONK_", extra="ignore", populate_by_name=True, env_ignore_empty=True)

    home: Path = Field(default_factory=_home)
    database_url: str | None = None
    listen: str = "127.0.0.1:4665"
    public_url: str | None = None
    anthropic_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("ANTHROPIC_API_KEY", "anthropic_api_key")
    )
    anthropic_base_url: str = Field(
        default="https://api.anthropic.com", validation_alias=AliasChoices("ANTHROPIC_BASE_URL", "anthropic_base_url")
    )
    agent: str = "claude"
    """Who works where nobody says otherwise: `claude`, `script:COMMAND` or `acp:COMMAND`."""
    model: str | None = None
    """The model's name; None leaves it to the harness."""
    slack_bot_token: SecretStr | None = None
    slack_app_token: SecretStr | None = None
    slack_signing_secret: SecretStr | None = None
    slack_api_url: str = "https://slack.com/api/"
    slack_workspaces: list[str] = Field(default_factory=list)
    """Ids of the workspaces whose people may use Honk; empty: every one it is installed in."""
    slack_channels: list[str] = Field(default_factory=list)
    """Ids of the channels in which Honk listens; empty: every one it is invited to."""
    slack_users: list[str] = Field(default_factory=list)
    """Ids of the people Honk listens to; empty: every member."""
    github_app_id: str | None = None
    github_private_key: SecretStr | None = None
    github_webhook_secret: SecretStr | None = None
    github_api_url: str = "https://api.github.com"
    github_git_url: str = "https://github.com"
    github_organisations: list[str] = Field(default_factory=list)
    """Whose repositories Honk works on; empty: all that installed it."""
    github_repositories: list[str] = Field(default_factory=list)
    """`owner/name` of the repositories Honk works on; empty: all that installed it."""
    github_users: list[str] = Field(default_factory=list)
    """Logins of the people Honk listens to; empty: everybody with the right to write."""
    github_poll_seconds: float | None = Field(default=None, ge=0)
    """How often open pull requests are looked at; default: 300 s besides webhooks, 60 s without; 0: once an hour."""
    github_label: str = "honk"
    """The label that starts a task when an issue gets it."""
    github_strangers: Literal["leave_out", "quote"] = "leave_out"
    """What people without the right to write said on an issue: left out, or quoted to the agent as a report."""
    ci_rounds: int = Field(default=2, ge=0)
    """How often a task goes back to work by itself because a check on its pull request is red."""
    signing_key: Path | None = None
    """An SSH key (ed25519, without passphrase) with which the commits are signed."""
    sigstore: bool = False
    """Whether statements about what was made are signed by sigstore, too."""
    sigstore_trust: Path | None = None
    """The client trust configuration (JSON) of a sigstore of one's own; default: the public one."""
    sigstore_token: Path | None = None
    """The file in which the platform keeps an identity token fresh; default: what the platform offers by itself."""
    max_cost_usd: float = Field(default=5.0, gt=0)
    """Per task, in US dollars."""
    max_turns: int = Field(default=60, gt=0)
    """Per task: requests to the model."""
    verify_rounds: int = Field(default=3, ge=0)
    """How often a red verification sends the agent back to work in one turn."""
    checks_at_once: int | None = Field(default=None, ge=1)
    """How many checks run side by side, of all tasks together; default: one for each processor, as far as there are 2
    GiB of memory for each."""
    checks_cache_hours: float = Field(default=168.0, ge=0)
    """How long a green check is not run again where nothing that decides it has changed; 0: it always is."""
    check_logs_days: float = Field(default=30.0, gt=0)
    """How long it is kept what checks printed."""
    judge: Literal["off", "advise", "veto"] = "advise"
    """What the judge's verdict counts for in repositories whose honk.yaml does not say."""
    judge_model: str | None = None
    """The model that judges; None: `model`, else a usual one."""
    distilled_characters: int = Field(default=2_000, ge=200)
    """What is told of a failed check, build or deploy, at most."""
    agent_seconds: float = Field(default=3600.0, gt=0)
    models: list[str] = Field(default_factory=list)
    """Names of the models that may be asked, with `*` for any end; empty: whichever the agent asks for."""
    egress: list[str] = Field(default_factory=list)
    """Hosts that agents, set-up, checks and builds of every repository may reach, besides the repository's own
    `egress`."""
    registries: list[str] | None = None
    """Package registries that agents, set-up and builds may reach; None: those this machine's package managers use."""
    egress_bytes: int = Field(default=20 * 10**9, gt=0)
    """How much one sandbox may move through the proxy, in and out."""
    egress_connection_bytes: int = Field(default=5 * 10**9, gt=0)
    """How much of that on one connection."""
    egress_connection_seconds: float = Field(default=3600.0, gt=0)
    egress_idle_seconds: float = Field(default=300.0, gt=0)
    """How long a connection may rest."""
    sandbox: Literal["auto", "local", "docker", "podman", "kubernetes"] = "auto"
    """What sandboxes are made of. `auto`: the local one, else Docker, else Podman; on macOS Docker first."""
    sandbox_image: str = "docker.io/library/buildpack-deps:bookworm"
    """What containers are made of for repositories that name no image. It needs python3 (3.9 or newer), git and sh."""
    sandbox_runtime: str | None = None
    """The runtime of containers: `runsc` (gVisor), `crun`…; with Kubernetes the name of a RuntimeClass."""
    sandbox_namespace: str | None = None
    """The Kubernetes namespace for sandboxes; default: Honk's own."""
    sandbox_readable: list[Path] = Field(default_factory=list)
    """Further folders of this machine that sandboxes may read, e.g. a toolchain in an unusual place."""
    sandbox_memory: int | None = Field(default=None, ge=16 * 1024**2)
    """Bytes that everything in one sandbox may use together; default: three quarters of the machine's."""
    sandbox_processes: int = Field(default=4096, ge=16)
    """Processes and threads that may be in one sandbox."""
    sandbox_disk: int = Field(default=20 * 1024**3, ge=1024**2)
    """Bytes that the folders one sandbox writes may hold in all. A file counts for 4 KiB at least."""
    sandbox_cpu_seconds: float | None = Field(default=None, gt=0)
    """Processor time of everything in one sandbox; default: only the time on the clock is limited."""
    sandbox_open_files: int = Field(default=16_384, ge=64)
    """For each process."""
    sandbox_file_size: int = Field(default=16 * 1024**3, ge=1024**2)
    """Bytes that a single file may have."""
    queue_seconds: float | None = Field(default=None, gt=0)
    """How often a worker looks for work: shorter spares people a wait, longer spares the database. Default: 0.05 with
    SQLite, where a look costs next to nothing, and 0.1 with a database that many share."""
    warm_agents: int = Field(default=1, ge=0)
    """How many agents wait, started ahead, for the next task of the repositories in use. About 250 MB each."""
    bases_bytes: int = Field(default=20_000_000_000, gt=0)
    """How much the read-only trees may take that workspaces stand on, besides those that are in use."""
    workspace_idle_hours: float = Field(default=6.0, ge=0)
    """How long a task rests before its workspace is packed into the store and its folder removed."""
    workspace_days: float = Field(default=30.0, gt=0)
    """How long the workspace and the agent's memory of a task are kept that has landed or was cancelled."""
    delta_bytes: int = Field(default=200_000_000, gt=0)
    """How much of a workspace is packed; of what is over it, ignored files are left out, the biggest folders first."""
    deploy_environment: list[str] = Field(default_factory=list)
    """Names of environment variables that deploy, rollback and no other commands get."""
    labels: list[str] = Field(default_factory=list)
    """What this machine can do that not every worker can, such as `macos`: builds that ask for it are made here."""
    screenshots: bool = True
    """Whether web previews are pictured, where this machine has Chromium and Playwright."""
    preview_host: str | None = None
    """Host name in the links of previews that have ports; default: the host of Honk's own address."""
    preview_domain: str | None = None
    """The domain under which each preview has a host name of its own, at Honk's own port."""
    preview_days: float = Field(default=14.0, gt=0)
    """How long a preview can be visited after its build."""
    preview_services: int = Field(default=4, gt=0)
    """How many previews that are services run at the same time."""
    artifacts_url: str | None = None
    """Where artifacts are kept besides the home, as fsspec reads it: `s3://bucket/prefix`, `file:///folder`."""
    artifacts_days: float = Field(default=30.0, gt=0)
    """How long an artifact is kept that no open card offers."""
    artifacts_bytes: int = Field(default=10_000_000_000, gt=0)
    """How much may be kept in all."""
    artifacts_per_task: int = Field(default=10, gt=0)
    """How many versions of each of a task's builds are kept."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = _home() / "honk.toml"
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any, info: ValidationInfo) -> Any:
        """An empty secret would be one that everybody knows."""
        field = cls.model_fields[info.field_name or ""]
        return None if value == "" and field.default is None else value

    @property
    def database(self) -> str:
        """The store's address as SQLAlchemy reads it."""
        if self.database_url:
            return self.database_url.replace("postgresql://", "postgresql+psycopg://", 1)
        return f"sqlite:///{self.home / 'honk.db'}"

    @property
    def secrets(self) -> list[str]:
        """The values that must not be read by anybody, the database's password among them."""
        values = [getattr(self, name) for name in type(self).model_fields]
        found = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
        password = urlsplit(self.database_url or "").password
        return [*found, *dict.fromkeys((password, unquote(password)) if password else ())]

    @property
    def previews_under(self) -> str | None:
        """The domain under which previews have host names; None where each has a port instead.

        Browsers find `*.localhost` on their own machine (RFC 6761, section 6.3).
        """
        if self.preview_domain:
            return self.preview_domain.lower().strip(".")
        own = urlsplit(self.url).hostname or self.host
        return "localhost" if self.preview_host is None and own in _LOOPBACK else None

    @property
    def previews_at(self) -> str:
        """The link to a preview, with its `{token}` and `{port}` left open."""
        own = urlsplit(self.url)
        if self.previews_under:
            return f"{own.scheme}://{{token}}.{self.previews_under}{f':{own.port}' if own.port else ''}/"
        host = self.preview_host or own.hostname or self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{{port}}/.honk/open/{{token}}"

    @property
    def host(self) -> str:
        """What is listened on, by `honk up` and by previews."""
        return self.listen.rpartition(":")[0].strip("[]") or "127.0.0.1"

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    @property
    def url(self) -> str:
        """Where people reach Honk, without a trailing slash."""
        return (self.public_url or f"http://{self.listen}").rstrip("/")


def read_settings(**given: Any) -> Settings:
    """Read the settings. Raises `UsageError` naming the setting that is wrong."""
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"The setting {name} is wrong: {first['msg']}.") from error
    except ValueError as error:
        raise UsageError(f"honk.toml in {_home()} cannot be read: {error}.") from error
    if settings.preview_domain and not _DOMAIN.fullmatch(settings.preview_domain):
        raise UsageError(
            f"HONK_PREVIEW_DOMAIN must be a bare domain such as `preview.example.org`, not {settings.preview_domain!r}."
        )
    own, under = urlsplit(settings.url).hostname or "", settings.preview_domain and settings.previews_under
    if under and f".{own}".endswith(f".{under}"):
        raise UsageError(
            f"HONK_PREVIEW_DOMAIN must be a domain of its own, such as `preview.example.org`: "
            f"Honk's own pages are at {own}."
        )
    if not settings.listen.rpartition(":")[2].isdigit():
        raise UsageError(f"HONK_LISTEN must be HOST:PORT, not {settings.listen!r}.")
    return settings
