"""Certificates and signed messages (CMS, RFC 5652) from strangers: read, never trusted."""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from honk.ship.packages.facts import Certificate, PackageError

_PUBLIC_TEST_KEY = "a40da80a59d170caa950cf15c18c454d47a39b26989d8b640ecd745ba71bf5dc"
"""The certificate of `build/target/product/security/testkey` in AOSP; its private key is published beside it."""
_DEBUG_NAME = "Android Debug"
"""What Android's build tools, Flutter and React Native put into the debug certificates they make."""
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, UnsupportedAlgorithm)


def certificate_of(der: bytes) -> Certificate:
    """What is known of a certificate. One that cannot be parsed keeps its digest, which is what Android compares."""
    sha256 = hashlib.sha256(der).hexdigest()
    subject, debug = "", sha256 == _PUBLIC_TEST_KEY
    try:
        name = x509.load_der_x509_certificate(der).subject
        subject = name.rfc4514_string()[:500]
        debug = debug or any(part.value == _DEBUG_NAME for part in name.get_attributes_for_oid(NameOID.COMMON_NAME))
    except _MALFORMED:
        pass
    return Certificate(sha256, subject, debug)


def public_key_of(der: bytes) -> bytes | None:
    """The certificate's public key (SubjectPublicKeyInfo, DER), or None if the certificate cannot be parsed."""
    try:
        key = x509.load_der_x509_certificate(der).public_key()
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except _MALFORMED:
        return None


def signed_content(message: bytes, what: str) -> bytes:
    """What a CMS message signs. Nothing is verified. Raises `PackageError` if it is no signed message."""
    try:
        content = _signed_data(message)["encap_content_info"]["content"].native
    except _MALFORMED as error:
        raise PackageError(f"The package's {what} is no signed message: build the package again.") from error
    if not isinstance(content, bytes):
        raise PackageError(f"The package's {what} is empty: build the package again.")
    return content


def first_signer(message: bytes, what: str) -> bytes:
    """The certificate (DER) of a CMS message's first signer. Raises `PackageError` if it holds none."""
    try:
        signed = _signed_data(message)
        serial = signed["signer_infos"][0]["sid"].chosen["serial_number"].native
        for choice in signed["certificates"]:
            if choice.chosen.serial_number == serial:
                return bytes(choice.chosen.dump())
    except _MALFORMED as error:
        raise PackageError(f"The package's {what} is no signed message: build the package again.") from error
    raise PackageError(f"The package's {what} lacks the signer's certificate: sign the package again.")


def _signed_data(message: bytes) -> Any:
    from asn1crypto.cms import ContentInfo  # type: ignore[import-untyped]

    content = ContentInfo.load(message)
    if content["content_type"].native != "signed_data":
        raise ValueError("not signed data")
    return content["content"]
