"""Signatures by sigstore: a certificate for whoever an identity token names, and an entry in a public or private log.

They stand in the envelope beside the installation's own, in the form that `securesystemslib` gave them, with the bundle
that proves them. Making one needs the network; checking one does not.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Signature as Signed
from securesystemslib.signer import SigstoreKey

from honk.model import HonkError, UsageError
from honk.provenance.keys import SIGSTORE, Identity, Sigstore

if TYPE_CHECKING:
    from pathlib import Path

    from sigstore.models import ClientTrustConfig
    from sigstore.oidc import IdentityToken


class IdentityKey(SigstoreKey):
    """An identity to believe, where `securesystemslib` expects a key. Its own asks the public sigstore's servers."""

    def __init__(self, identity: Identity) -> None:
        keyval: dict[str, Any] = {"identity": identity.who, "issuer": identity.issuer}
        super().__init__(SIGSTORE, self.DEFAULT_KEY_TYPE, self.DEFAULT_SCHEME, keyval)
        self._identity = identity

    def verify_signature(self, signature: Signed, data: bytes) -> None:
        """Raises `UnverifiedSignatureError` unless the identity signed the data and the log says so."""
        trust = _trust(self._identity.trust, offline=True)
        from sigstore.errors import Error
        from sigstore.models import Bundle
        from sigstore.verify import Verifier
        from sigstore.verify.policy import Identity as Policy

        policy = Policy(identity=self._identity.who, issuer=self._identity.issuer)
        try:
            bundle = Bundle.from_json(json.dumps(signature.unrecognized_fields["bundle"]))
            Verifier(trusted_root=trust.trusted_root).verify_artifact(data, bundle, policy)
        except (Error, KeyError, TypeError, ValueError) as error:
            raise UnverifiedSignatureError(str(error)) from error


def sign_by_sigstore(envelope: Envelope, sigstore: Sigstore) -> None:
    """Add a signature by whoever the identity token names. Raises `HonkError` where there is no token, or sigstore does
    not answer."""
    trust = _trust(sigstore.trust, offline=False)
    token = _token(sigstore)
    from sigstore.sign import SigningContext

    try:
        with SigningContext.from_trust_config(trust).signer(token) as signer:
            bundle = signer.sign_artifact(envelope.pae())
    except Exception as error:
        # What its clients raise has no class in common.
        raise HonkError(f"sigstore did not sign it ({type(error).__name__}: {error}).") from error
    told = json.loads(bundle.to_json())
    envelope.signatures[SIGSTORE] = Signed(SIGSTORE, bundle.signature.hex(), {"bundle": told})


def _trust(file: Path | None, *, offline: bool) -> ClientTrustConfig:
    try:
        from sigstore.errors import Error
        from sigstore.models import ClientTrustConfig
    except ImportError as error:
        raise UsageError("Signatures by sigstore need its package: pip install 'honk[sigstore]'.") from error
    try:
        return ClientTrustConfig.from_json(file.read_text()) if file else ClientTrustConfig.production(offline=offline)
    except OSError as error:
        raise UsageError(f"The trust configuration {file} cannot be read: {error.strerror}.") from error
    except (Error, ValueError) as error:
        raise UsageError(
            f"The trust configuration {file or 'of the public sigstore'} is of no use: {error}."
        ) from error


def _token(sigstore: Sigstore) -> IdentityToken:
    from sigstore.oidc import IdentityError, IdentityToken, detect_credential

    try:
        found = sigstore.token.read_text().strip() if sigstore.token else detect_credential()
        if found:
            return IdentityToken(found)
    except OSError as error:
        raise UsageError(f"The identity token {sigstore.token} cannot be read: {error.strerror}.") from error
    except IdentityError as error:
        raise HonkError(f"The identity token for sigstore is of no use: {error}.") from error
    raise UsageError(
        "This machine has no identity for sigstore by itself: name the file with its token as HONK_SIGSTORE_TOKEN."
    )
