"""Who signs what an installation says, and whom to believe: a key (Ed25519, made at first start, never replaced), and
where that is wanted an identity that sigstore vouches for."""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from honk.model import UsageError

if TYPE_CHECKING:
    from securesystemslib.signer import Key

SIGSTORE = "sigstore"
"""What signatures by sigstore are called in envelopes: whose they are is in their certificate."""


class Believed(Protocol):
    """Somebody whose signature counts."""

    @property
    def name(self) -> str:
        """What their signature is called in envelopes."""
        ...

    @property
    def shown(self) -> str:
        """What people call them."""
        ...

    def verifier(self) -> Key:
        """What checks their signature."""
        ...


@dataclass(frozen=True)
class PublicKey:
    """Whom to believe. `pem` is what others are given, `name` what the key is called in envelopes."""

    pem: str

    @property
    def key(self) -> Ed25519PublicKey:
        """The key itself. Raises `UsageError` if the text is no Ed25519 key."""
        try:
            found = load_pem_public_key(self.pem.encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise UsageError(
                "This is no public key: give the file that `honk provenance key` printed where the change was made."
            ) from error
        if not isinstance(found, Ed25519PublicKey):
            raise UsageError("This is a key of another kind: Honk signs with Ed25519.")
        return found

    @property
    def name(self) -> str:
        return hashlib.sha256(self.key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()

    @property
    def shown(self) -> str:
        return self.name

    def verifier(self) -> Key:
        from securesystemslib.signer import SSlibKey

        return SSlibKey.from_crypto(self.key, keyid=self.name)


@dataclass(frozen=True)
class Identity:
    """Whom to believe where sigstore vouches: `who` (an address or a URI) as `issuer` knows them. `trust` is the file
    that describes a sigstore of one's own; None is the public one."""

    who: str
    issuer: str
    trust: Path | None = None

    @property
    def name(self) -> str:
        return SIGSTORE

    @property
    def shown(self) -> str:
        return f"{self.who} ({self.issuer})"

    def verifier(self) -> Key:
        from honk.provenance.keyless import IdentityKey

        return IdentityKey(self)


@dataclass(frozen=True)
class Sigstore:
    """A sigstore to sign with. `trust` as in `Identity`; `token` is the file in which the platform keeps an identity
    token fresh, None whatever the platform offers by itself (GitHub Actions, Google Cloud …)."""

    trust: Path | None = None
    token: Path | None = None


def make_signing_key(home: Path) -> None:
    """Make the key, unless there is one: at once or not at all, readable by its owner only."""
    path = _file(home)
    if path.exists():
        return
    made = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f".provenance-{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(made)
        # Unlike a rename, this leaves alone what another process has made meanwhile.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def signing_key(home: Path) -> Ed25519PrivateKey:
    """The installation's key. Raises `UsageError` where there is none or it cannot be read."""
    path = _file(home)
    try:
        found = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise UsageError(f"There is no key at {path} yet: start `honk up` or `honk run` once.") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"The key at {path} is damaged: put it back from a backup.") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise UsageError(f"The key at {path} is of another kind: Honk signs with Ed25519.")
    return found


def public_key(home: Path) -> PublicKey:
    """What others need to check this installation's statements. Raises as `signing_key`."""
    made = signing_key(home).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(made.decode())


def read_public_key(path: Path) -> PublicKey:
    """A key that somebody gave. Raises `UsageError` if the file cannot be read or holds none."""
    try:
        given = PublicKey(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise UsageError(f"The key {path} cannot be read: {error.strerror}.") from error
    _ = given.key
    return given


def _file(home: Path) -> Path:
    return home / "provenance.key"
