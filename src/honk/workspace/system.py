"""What a sandbox sees of this machine: programs and toolchains, read-only, and nothing that could hold a secret."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

INSIDE_HOME = "/home/honk"

_SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_SHARED = ("/opt", "/nix/store", "/gnu/store", "/run/current-system/sw")

# Folders such as /etc/ssl hold private keys beside the certificates, so their public parts are named one by one.
_ETC = (
    "ssl/certs",
    "ssl/cert.pem",
    "ssl/openssl.cnf",
    "pki/tls/certs",
    "pki/tls/cert.pem",
    "pki/tls/openssl.cnf",
    "pki/ca-trust",
    "pki/java",
    "ca-certificates*",
    "crypto-policies",
    "alternatives",
    "ld.so.cache",
    "ld.so.conf*",
    "java*",
    "perl",
    "python3*",
    "dotnet",
    "mime.types",
    "localtime",
    "timezone",
    "nsswitch.conf",
    "services",
    "protocols",
    "fonts",
    "os-release",
    "debian_version",
    "locale.alias",
    "inputrc",
    "terminfo",
    "magic",
    "chromium.d",
)

# Settings that people edit, and without which the tool does not start or finds no mirror: shown unless a secret may be
# in them.
_ETC_EDITED = ("maven/*", "bazel/*")
_COMMENT = re.compile(rb"<!--.*?-->|^\s*#[^\n]*", re.DOTALL | re.MULTILINE)
_OF_SECRETS = re.compile(rb"(?i)passw|passphrase|secret|token|private|credential|header|netrc")

# Never a folder in which a tool keeps its credentials: ~/.cargo/bin, not ~/.cargo.
_TOOLCHAINS = (
    ".cargo/bin",
    ".rustup",
    ".pyenv/versions",
    ".nvm/versions",
    ".fnm/node-versions",
    ".volta",
    ".sdkman/candidates",
    ".asdf",
    ".local/share/mise",
    ".local/share/uv/python",
    ".bun/bin",
    ".deno/bin",
    "go/sdk",
    "go/bin",
    "Android/Sdk",
)

_BIN_FOLDERS = (
    ".cargo/bin",
    ".volta/bin",
    ".nvm/versions/node/*/bin",
    ".sdkman/candidates/*/current/bin",
    ".asdf/shims",
    ".local/share/mise/shims",
    ".bun/bin",
    ".deno/bin",
    "go/bin",
    "go/sdk/*/bin",
)

_SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")

_PATH_VARIABLES = (
    "JAVA_HOME",
    "ANDROID_HOME",
    "ANDROID_SDK_ROOT",
    "GOROOT",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
)


@dataclass(frozen=True)
class System:
    """The read-only part of a sandbox: arguments for bubblewrap, and the variables that go with them."""

    arguments: Sequence[str]
    environment: dict[str, str]


def interpreter() -> str:
    """The path, outside and inside, of the Python that runs Honk's own small programs in a sandbox."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def system(readable: Iterable[Path] = ()) -> System:
    """What every sandbox on this machine may read. `readable` adds folders or files at their own paths."""
    shared = [folder for folder in _SHARED if Path(folder).is_dir()]
    toolchains = _toolchains([*readable])
    visible = [*(f"/{name}" for name in _SYSTEM), *shared, *toolchains, "/etc/ssl/certs", "/etc/pki/ca-trust"]
    arguments = [*_roots(), *_etc()]
    for path in (*shared, *toolchains):
        arguments += ("--ro-bind", os.path.realpath(path), path)
    return System(arguments, _environment(visible))


def _roots() -> Iterator[str]:
    for name in _SYSTEM:
        path = Path("/", name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))


def _etc() -> Iterator[str]:
    for pattern in _ETC:
        for path in sorted(Path("/etc").glob(pattern)):
            if path.exists() and os.access(path, os.R_OK):
                yield from ("--ro-bind", os.path.realpath(path), str(path))
    for path in edited_settings(Path("/etc")):
        yield from ("--ro-bind", os.path.realpath(path), str(path))


def edited_settings(folder: Path) -> Iterator[Path]:
    """The files and folders of tools' settings below `folder`, the machine's /etc, that speak of no secret outside of
    their comments."""
    for pattern in _ETC_EDITED:
        yield from (path for path in sorted(folder.glob(pattern)) if _holds_no_secret(path))


def _holds_no_secret(path: Path) -> bool:
    try:
        files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
        return not any(_OF_SECRETS.search(_COMMENT.sub(b"", one.read_bytes())) for one in files)
    except OSError:
        return False


def _homes() -> list[Path]:
    """The person's home, and those whose toolchains are on PATH (a service's HOME is often another)."""
    homes = {Path.home(): None}
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        for name in (".cargo/bin", ".volta/bin", ".asdf/shims", ".bun/bin", ".deno/bin", "go/bin"):
            if entry.rstrip("/").endswith(f"/{name}"):
                homes[Path(entry.rstrip("/").removesuffix(f"/{name}"))] = None
    return list(homes)


def _toolchains(readable: Sequence[Path]) -> list[str]:
    candidates = [home / name for home in _homes() for name in _TOOLCHAINS]
    candidates += [*_python(), *(path.expanduser().absolute() for path in readable)]
    kept: list[str] = []
    for path in candidates:
        inside_another = any(path.is_relative_to(other) for other in (*kept, *(f"/{name}" for name in _SYSTEM)))
        if not inside_another and path.exists() and os.access(path, os.R_OK):
            kept.append(str(path))
    return kept


def _python() -> list[Path]:
    """What this Python is made of: not all of a folder that is the person's for other things too."""
    prefix = Path(sys.base_prefix)
    shared = any(home.is_relative_to(prefix) or prefix == home / ".local" for home in _homes())
    return [prefix / name for name in ("bin", "lib", "lib64", "include")] if shared else [prefix]


def _environment(visible: Sequence[str]) -> dict[str, str]:
    def seen(path: str) -> bool:
        return any(Path(path).is_relative_to(folder) for folder in visible)

    environment = {
        "PATH": os.pathsep.join(_search_path(visible)),
        "LANG": "C.UTF-8",
        "USER": "honk",
        "LOGNAME": "honk",
        "SHELL": "/bin/sh",
        "TERM": "dumb",
    }
    for variable, folder, holds in (("RUSTUP_HOME", ".rustup", "toolchains/*"), ("VOLTA_HOME", ".volta", "tools/*")):
        if found := next((home / folder for home in _homes() if any((home / folder).glob(holds))), None):
            environment[variable] = str(found)
    for name in _PATH_VARIABLES:
        value = os.environ.get(name, "")
        if value.startswith("/") and seen(value):
            environment[name] = value
    return environment


def _search_path(visible: Sequence[str]) -> list[str]:
    home = Path.home()
    folders: list[str] = []
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder == str(home / ".pyenv/shims"):
            folders += _pyenv_folders(home)
        elif folder.startswith("/") and any(Path(folder).is_relative_to(root) for root in visible):
            folders.append(folder)
    for pattern in _BIN_FOLDERS:
        folders += sorted(map(str, home.glob(pattern)), reverse=True)
    folders.append(str(Path(sys.base_prefix) / "bin"))
    own = [folder for folder in folders if folder not in _SYSTEM_PATH and Path(folder).is_dir()]
    return [*dict.fromkeys(own), *(folder for folder in _SYSTEM_PATH if Path(folder).is_dir())]


def _pyenv_folders(home: Path) -> list[str]:
    """The folders behind pyenv's shims, which need the whole of pyenv to work and are slow besides."""
    chosen = home / ".pyenv/version"
    versions = chosen.read_text().split() if chosen.is_file() else []
    return [str(home / ".pyenv/versions" / version / "bin") for version in versions]
