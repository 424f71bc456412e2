"""How an APK is signed, and whether signatures and content fit.

From Android's descriptions of "APK Signature Scheme v2", "v3" and "v3.1" and of the APK Signing Block: where it lies,
the layout of signers, the ids of algorithms, and what a verifier has to compare. A phone takes the newest scheme that
it knows and does not fall back to an older one, so the newest one found is what is told here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from honk.ship.packages.apk_digest import Sections, content_digests
from honk.ship.packages.archive import Archive
from honk.ship.packages.binary import Reader
from honk.ship.packages.certificates import certificate_of, first_signer, public_key_of
from honk.ship.packages.facts import PackageError, Signing
from honk.ship.packages.signature_algorithms import ALGORITHMS, verified

_MAGIC = b"APK Sig Block 42"
_FOOTER = 24
_SCHEMES: Mapping[int, str] = {0x7109871A: "v2", 0xF05368C0: "v3", 0x1B93AD61: "v3.1"}
_ROTATION = 0x3BA06F8C
_STRIPPING = 0xBEEFF00D
_WHAT = "signing block"
_JAR_LIMIT = 128 << 10
_JAR_SIGNERS = 10
_HEADER_LIMIT = 8 << 10
_MOST = 64
"""Signers, certificates, digests or steps of a rotation."""


@dataclass(frozen=True)
class _Signer:
    signed: bytes
    digests: Mapping[int, bytes]
    certificates: tuple[bytes, ...]
    attributes: Mapping[int, bytes]
    signatures: Mapping[int, bytes]
    public_key: bytes
    inner_versions: bytes = b""
    outer_versions: bytes = b""


def read_signing(archive: Archive) -> Signing:
    """All about the signatures of an APK. Raises `PackageError` if they are malformed; ones that do not fit the content
    are told in the result."""
    end = archive.end_at()
    block, pairs = _block(archive)
    sections = Sections(block, archive.directory_at, end, archive.size)
    signers = {_SCHEMES[key]: _signers(value, versions=key != 0x7109871A) for key, value in pairs.items()}
    jar, promised = read_jar(archive)
    if not signers:
        missing = f"its v1 signature promises a newer one ({promised}) that is missing" if promised else None
        return Signing(jar.schemes, jar.certificates, (), False if promised else None, missing or jar.fault)
    schemes = (*jar.schemes, *(name for name in _SCHEMES.values() if name in signers))
    newest = schemes[-1]
    valid, fault = _verify(archive, sections, signers)
    return Signing(
        schemes,
        tuple(certificate_of(signer.certificates[0]) for signer in signers[newest]),
        tuple(digest for signer in signers[newest] for digest in _earlier(signer)),
        valid,
        fault,
    )


def read_jar(archive: Archive) -> tuple[Signing, str]:
    """The v1 (JAR) signature: its certificates, and the newer schemes it says were used (`X-Android-APK-Signed`). The
    signature itself is not verified: Android 7 and newer, and every modern target, look at the block instead."""
    stems = sorted(
        name
        for name in archive.names
        if name.upper().startswith("META-INF/")
        and name.count("/") == 1
        and name.upper().endswith((".RSA", ".DSA", ".EC"))
    )
    found, promised = [], ""
    for name in stems[:_JAR_SIGNERS]:
        instructions = name.rpartition(".")[0] + ".SF"
        if instructions not in archive:
            continue
        found.append(certificate_of(first_signer(archive.read(name, _JAR_LIMIT), "v1 signature")))
        for line in archive.head(instructions, _HEADER_LIMIT).decode("utf-8", "replace").splitlines():
            if line.lower().startswith("x-android-apk-signed:"):
                promised = ", ".join(
                    f"v{number.strip()}" for number in line.partition(":")[2].split(",") if number.strip()
                )
    if not found:
        return Signing(), ""
    return Signing(("v1",), tuple(found), fault="only the certificate of a v1 signature is read"), promised


def _block(archive: Archive) -> tuple[int, dict[int, Reader]]:
    """Where the signing block begins (the directory's place if there is none), and the schemes' parts of it."""
    directory = archive.directory_at
    if directory < _FOOTER + 8:
        return directory, {}
    archive.file.seek(directory - _FOOTER)
    footer = archive.file.read(_FOOTER)
    if footer[8:] != _MAGIC:
        return directory, {}
    (size,) = struct.unpack_from("<Q", footer)
    start = directory - size - 8
    if not _FOOTER <= size <= archive.limits.signing_block or start < 0:
        raise PackageError(f"The package's {_WHAT} is malformed: sign the package again.")
    archive.file.seek(start)
    block = Reader(archive.file.read(size + 8 - _FOOTER), _WHAT)
    if block.number(8) != size:
        raise block.broken("its two lengths differ")
    pairs: dict[int, Reader] = {}
    while block.left:
        part = block.part(block.number(8))
        key = part.number(4)
        if key in _SCHEMES:
            if key in pairs:
                raise block.broken("a scheme is in it twice")
            pairs[key] = part.part(part.left)
    return start, pairs


def _signers(value: Reader, *, versions: bool) -> list[_Signer]:
    signers = [_signer(part, versions=versions) for part in _sequence(value)]
    if not signers:
        raise value.broken("it names no signer")
    return signers


def _signer(part: Reader, *, versions: bool) -> _Signer:
    signed = part.prefixed()
    outer = bytes(part.take(8)) if versions else b""
    signatures = _pairs(part.prefixed(), _algorithm)
    public_key = bytes(part.prefixed().data)
    content = Reader(signed.data, _WHAT)
    digests = _pairs(content.prefixed(), _algorithm)
    certificates = tuple(bytes(one.data) for one in _items(content.prefixed()))
    inner = bytes(content.take(8)) if versions else b""
    attributes = _pairs(content.prefixed(), lambda one: bytes(one.take(one.left))) if content.left else {}
    if not certificates:
        raise part.broken("a signer has no certificate")
    return _Signer(bytes(signed.data), digests, certificates, attributes, signatures, public_key, inner, outer)


def _algorithm(one: Reader) -> bytes:
    return bytes(one.prefixed().data)


def _sequence(value: Reader) -> Iterator[Reader]:
    return _items(value.prefixed())


def _items(reader: Reader) -> Iterator[Reader]:
    for _ in range(_MOST):
        if not reader.left:
            return
        yield reader.prefixed()
    raise reader.broken("it has too many parts")


def _pairs(reader: Reader, read: Callable[[Reader], bytes]) -> dict[int, bytes]:
    return {one.number(4): read(one) for one in _items(reader)}


def _earlier(signer: _Signer) -> Iterator[str]:
    """The digests of the certificates before the present one, by the proof of rotation (v3's attribute 0x3ba06f8c)."""
    proof = signer.attributes.get(_ROTATION)
    if proof is None:
        return
    reader = Reader(proof, _WHAT)
    reader.number(4)
    for node in _items(reader):
        certificate = bytes(node.prefixed().prefixed().data)
        if certificate != signer.certificates[0]:
            yield certificate_of(certificate).sha256


def _verify(
    archive: Archive, sections: Sections, schemes: Mapping[str, list[_Signer]]
) -> tuple[bool | None, str | None]:
    for name, signers in schemes.items():
        for signer in signers:
            fault = _signer_fault(signer)
            if fault:
                return False, f"its {name} signature {fault}"
            if name == "v2" and "v3" not in schemes and _STRIPPING in signer.attributes:
                return False, "its v2 signature promises a newer one that is missing"
    best = [(name, signer, _best(signer)) for name, signers in schemes.items() for signer in signers]
    known = [(name, signer, algorithm) for name, signer, algorithm in best if algorithm is not None]
    if len(known) < len(best):
        return None, "it is signed with an algorithm that Honk does not know"
    wanted = sorted({ALGORITHMS[algorithm].digest for _, _, algorithm in known})
    digests = content_digests(archive.file, sections, wanted)
    for name, signer, algorithm in known:
        if signer.digests[algorithm] != digests[ALGORITHMS[algorithm].digest]:
            return False, f"its content was changed after it was signed (the {name} digest differs)"
    return True, None


def _best(signer: _Signer) -> int | None:
    """The strongest known algorithm of a signer: Android verifies that one. The table is sorted by strength."""
    return next((algorithm for algorithm in ALGORITHMS if algorithm in signer.signatures), None)


def _signer_fault(signer: _Signer) -> str | None:
    if list(signer.digests) != list(signer.signatures):
        return "names other algorithms for its digests than for its signatures"
    if signer.inner_versions != signer.outer_versions:
        return "names two different ranges of Android versions"
    key = public_key_of(signer.certificates[0])
    if key is not None and key != signer.public_key:
        return "was not made with its certificate's key"
    algorithm = _best(signer)
    if algorithm is not None and not verified(
        algorithm, signer.public_key, signer.signatures[algorithm], signer.signed
    ):
        return "does not fit what it signs"
    return None
