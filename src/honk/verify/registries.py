"""Where this machine's package managers fetch from, asked of the tools themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

_PIP_DEFAULTS = (
    "from pip._internal.models.index import PyPI; print(PyPI.url); print('https://' + PyPI.file_storage_domain)"
)
# pip's settings that say where packages are, by the variable a sandboxed pip reads them from.
_PIP_SETTINGS = {
    "index-url": "PIP_INDEX_URL",
    "extra-index-url": "PIP_EXTRA_INDEX_URL",
    "find-links": "PIP_FIND_LINKS",
}
_UV_SETTINGS = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX"}
_MAVEN_LIBRARIES = ("/usr/share/maven/lib", "/usr/local/share/maven/lib", "/opt/maven/lib")
_MAVEN_MODEL = "org/apache/maven/model/pom-4.0.0.xml"


_asking = threading.Lock()
"""The tools take most of a second: whoever comes meanwhile waits for the same answers."""


@dataclass(frozen=True)
class _Answers:
    """What the tools said: the addresses they fetch from, and how to tell the same tools in a sandbox."""

    addresses: tuple[str, ...]
    environment: dict[str, str]


def registry_hosts(named: Sequence[str] | None = None) -> tuple[str, ...]:
    """Hosts (`host:port`) that agents, set-up and builds may reach besides what `egress` names: those `named`, if any
    are (the setting `HONK_REGISTRIES`), else the registries that pip, npm, go and Maven are set up with on this
    machine."""
    if named is not None:
        return tuple(named)
    hosts: dict[str, None] = {}
    for address in _answers().addresses:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https") and parts.hostname:
            hosts[f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"] = None
    return tuple(hosts)


def registry_environment(named: Sequence[str] | None = None) -> dict[str, str]:
    """Variables that point the package managers in a sandbox to this machine's registries; none where the setting
    `HONK_REGISTRIES` names none, for then none is reached.

    Addresses with a name or a password in them are left out: no secret goes into a sandbox.
    """
    return dict(_answers().environment) if named is None or named else {}


def _answers() -> _Answers:
    with _asking:
        return _asked()


@cache
def _asked() -> _Answers:
    with ThreadPoolExecutor(4) as pool:
        parts = [pool.submit(ask) for ask in (_pip_defaults, _pip_settings, _npm, _go)]
        found = [part.result() for part in parts]
    addresses = [address for given, _ in found for address in given]
    addresses += _maven()
    environment = {name: value for _, variables in found for name, value in variables.items()}
    return _Answers(tuple(addresses), environment)


def _pip_defaults() -> tuple[list[str], dict[str, str]]:
    return _ask(_python(), "-I", "-c", _PIP_DEFAULTS).split(), {}


def _pip_settings() -> tuple[list[str], dict[str, str]]:
    """Lines such as `global.index-url='…'` and `:env:.index-url='…'`; later ones win, as they do for pip."""
    addresses: list[str] = []
    environment: dict[str, str] = {}
    for line in _ask(_python(), "-I", "-m", "pip", "config", "list").splitlines():
        key, _, value = line.partition("=")
        if variable := _PIP_SETTINGS.get(key.rpartition(".")[2]):
            named = value.strip().strip("'\"").replace("\\n", " ").split()
            addresses += named
            if open_to_all := _without_credentials(named):
                environment[variable] = " ".join(open_to_all)
                if also := _UV_SETTINGS.get(variable):
                    environment[also] = environment[variable]
    return addresses, environment


def _npm() -> tuple[list[str], dict[str, str]]:
    npm = shutil.which("npm")
    named = _ask(npm, "config", "get", "registry").split() if npm else []
    open_to_all = _without_credentials(named)
    return named, {"npm_config_registry": open_to_all[0]} if open_to_all else {}


def _go() -> tuple[list[str], dict[str, str]]:
    go = shutil.which("go")
    if go is None:
        return [], {}
    proxies, _, sums = _ask(go, "env", "GOPROXY", "GOSUMDB").partition("\n")
    named = [part for part in proxies.replace("|", ",").split(",") if "://" in part]
    database = sums.split()
    database_host = [f"https://{database[0]}"] if database and "." in database[0] else []
    environment = {"GOPROXY": proxies} if proxies and _without_credentials(named) == named else {}
    return [*named, *database_host], environment


def _maven() -> list[str]:
    """The repositories of the model that every Maven project inherits from."""
    home = os.environ.get("MAVEN_HOME") or os.environ.get("M2_HOME")
    program = shutil.which("mvn")
    beside = Path(os.path.realpath(program)).parents[1] / "lib" if program else None
    folders = [*([Path(home, "lib")] if home else []), *([beside] if beside else []), *map(Path, _MAVEN_LIBRARIES)]
    for archive in (path for folder in folders for path in sorted(folder.glob("maven-model-builder-*.jar"))):
        try:
            with zipfile.ZipFile(archive) as packed:
                text = packed.read(_MAVEN_MODEL).decode("utf-8", "replace")
        except (OSError, KeyError, zipfile.BadZipFile):
            continue
        return [part.partition("</url>")[0].strip() for part in text.split("<url>")[1:]]
    return []


def _without_credentials(addresses: Iterable[str]) -> list[str]:
    return [address for address in addresses if "@" not in urlsplit(address).netloc]


def _python() -> str:
    return shutil.which("python3") or sys.executable


def _ask(*command: str) -> str:
    """The program's answer, asked from the root folder: the current one may be a stranger's repository, whose
    `pip/` or `.npmrc` would otherwise be taken for the tool's own."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, cwd="/")
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
