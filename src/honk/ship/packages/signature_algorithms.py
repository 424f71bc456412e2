"""The signature algorithms of APK Signature Scheme v2 and v3 ("Signature algorithm IDs" of Android's description)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.serialization import load_der_public_key


@dataclass(frozen=True)
class Algorithm:
    """`digest` is the content digest's name for `hashlib`, and the signature's own hash."""

    digest: Literal["sha256", "sha512"]
    kind: Literal["pss", "pkcs1", "ecdsa", "dsa"]


ALGORITHMS: Mapping[int, Algorithm] = {
    0x0102: Algorithm("sha512", "pss"),
    0x0104: Algorithm("sha512", "pkcs1"),
    0x0202: Algorithm("sha512", "ecdsa"),
    0x0101: Algorithm("sha256", "pss"),
    0x0103: Algorithm("sha256", "pkcs1"),
    0x0201: Algorithm("sha256", "ecdsa"),
    0x0301: Algorithm("sha256", "dsa"),
}
"""Strongest first. The fs-verity variants (0x0421, 0x0423, 0x0425) come beside one of these, never alone."""


def verified(algorithm: int, public_key: bytes, signature: bytes, signed: bytes) -> bool:
    """Whether the signature over `signed` was made with the key (SubjectPublicKeyInfo, DER). A key that cannot be read
    or is of the wrong kind verifies nothing."""
    how = ALGORITHMS[algorithm]
    hashed = SHA256() if how.digest == "sha256" else SHA512()
    try:
        key = load_der_public_key(public_key)
        if how.kind == "pss" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PSS(padding.MGF1(hashed), hashed.digest_size), hashed)
        elif how.kind == "pkcs1" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), hashed)
        elif how.kind == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(hashed))
        elif how.kind == "dsa" and isinstance(key, dsa.DSAPublicKey):
            key.verify(signature, signed, hashed)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True
