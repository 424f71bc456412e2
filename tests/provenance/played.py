"""A sigstore that is played: an authority that certifies whom a token names, and a log. The client is the real one."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER = "https://accounts.example.com"
_ISSUER_OF = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_TIMESTAMPS = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_YESTERDAY = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _name(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_der(key)).digest()


def _signed(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


class PlayedSigstore:
    """Serves both parts at one address while its context lasts. `entries` is what the log was told."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self._root, self._certificates, self._log = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self._authority = self._made_root()
        sigstore = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                certifies = self.path.endswith("/signingCert")
                told = sigstore.certify(body, self.headers["authorization"]) if certifies else sigstore.enter(body)
                self.send_response(201)
                self.end_headers()
                self.wfile.write(json.dumps(told).encode())

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> PlayedSigstore:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def trust(self, path: Path) -> Path:
        """What clients of this sigstore are given."""
        since = {"start": _YESTERDAY.isoformat().replace("+00:00", "Z")}
        service = [{"url": self._url, "majorApiVersion": 1, "validFor": since, "operator": "example.com"}]
        kind = "application/vnd.dev.sigstore"

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            public = {"rawBytes": _b64(_der(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since}
            return {"baseUrl": self._url, "hashAlgorithm": "SHA2_256", "publicKey": public,
                    "logId": {"keyId": _b64(_name(key))}}  # fmt: skip

        certificate = {"rawBytes": _b64(self._authority.public_bytes(Encoding.DER))}
        authority = {"subject": {"organization": "example.com", "commonName": "example.com"}, "uri": self._url,
                     "certChain": {"certificates": [certificate]}, "validFor": since}  # fmt: skip
        root = {"mediaType": f"{kind}.trustedroot+json;version=0.1", "tlogs": [log(self._log)],
                "certificateAuthorities": [authority], "ctlogs": [log(self._certificates)],
                "timestampAuthorities": []}  # fmt: skip
        signing = {"mediaType": f"{kind}.signingconfig.v0.2+json", "caUrls": service, "oidcUrls": service,
                   "rekorTlogUrls": service, "rekorTlogConfig": {"selector": "ANY"}, "tsaUrls": [],
                   "tsaConfig": {"selector": "ANY"}}  # fmt: skip
        whole = {"mediaType": f"{kind}.clienttrustconfig.v0.1+json", "trustedRoot": root, "signingConfig": signing}
        path.write_text(json.dumps(whole))
        return path

    def token(self, path: Path, who: str) -> Path:
        """What a platform keeps in a file for its workloads."""
        now = datetime.now(UTC)
        claims = {"iss": ISSUER, "sub": who, "aud": "sigstore", "iat": now, "exp": now + timedelta(hours=1)}
        path.write_text(jwt.encode(claims, "k" * 32, algorithm="HS256"))
        return path

    def _made_root(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "played")])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        public = self._root.public_key()
        return (
            x509.CertificateBuilder(name, name, public, 1, _YESTERDAY, _YESTERDAY + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._root, hashes.SHA256())
        )

    def certify(self, body: dict[str, Any], authorization: str) -> dict[str, Any]:
        """A certificate for ten minutes, with the promise of a log of certificates in it."""
        claims = jwt.decode(authorization.removeprefix("Bearer "), options={"verify_signature": False})
        request = x509.load_pem_x509_csr(base64.b64decode(body["certificateSigningRequest"]))
        now = datetime.now(UTC).replace(microsecond=0)
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        asked = (
            x509.CertificateBuilder(
                self._authority.subject, x509.Name([]), request.public_key(),  # type: ignore[arg-type]
                x509.random_serial_number(), now, now + timedelta(minutes=10),
            )
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._root.public_key()), critical=False
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(claims["sub"])]), critical=True
            )
            .add_extension(x509.UnrecognizedExtension(_ISSUER_OF, claims["iss"].encode()), critical=False)
        )  # fmt: skip
        draft = asked.sign(self._root, hashes.SHA256()).tbs_certificate_bytes
        promised = x509.UnrecognizedExtension(_TIMESTAMPS, self._promise(draft, now))
        made = asked.add_extension(promised, critical=False).sign(self._root, hashes.SHA256())
        chain = [one.public_bytes(Encoding.PEM).decode() for one in (made, self._authority)]
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}

    def _promise(self, draft: bytes, at: datetime) -> bytes:
        """A signed certificate timestamp as RFC 6962 has it, in the list that certificates carry."""
        when = struct.pack("!Q", int(at.timestamp()) * 1000)
        entry = _name(self._root) + len(draft).to_bytes(3, "big") + draft
        signature = _signed(self._certificates, b"\0\0" + when + b"\0\1" + entry + b"\0\0")
        one = b"\0" + _name(self._certificates) + when + b"\0\0\4\3" + struct.pack("!H", len(signature)) + signature
        listed = struct.pack("!HH", len(one) + 2, len(one)) + one
        return bytes([4, 0x81, len(listed)]) + listed if len(listed) > 127 else bytes([4, len(listed)]) + listed

    def enter(self, body: dict[str, Any]) -> dict[str, Any]:
        """An entry, in a log that holds nothing else."""
        self.entries.append(body)
        plain = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
        root = hashlib.sha256(b"\0" + plain).digest()
        name, at = _name(self._log), int(datetime.now(UTC).timestamp())
        promise = {"body": _b64(plain), "integratedTime": at, "logID": name.hex(), "logIndex": 0}
        note = f"played\n1\n{_b64(root)}\n"
        checkpoint = f"{note}\n— played {_b64(name[:4] + _signed(self._log, note.encode()))}\n"
        proof = {"logIndex": 0, "rootHash": root.hex(), "treeSize": 1, "hashes": [], "checkpoint": checkpoint}
        exact = json.dumps(promise, sort_keys=True, separators=(",", ":")).encode()
        verification = {"inclusionProof": proof, "signedEntryTimestamp": _b64(_signed(self._log, exact))}
        return {"0" * 64: promise | {"verification": verification}}
