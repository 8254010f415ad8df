"""Who signs: a private key and its certificate, made on the first run or put there by the operator.

The folder holds key.pem and chain.pem (the signer's certificate first). An operator replaces both; trust.pem (more
roots that `sorairo verify` trusts) and timestamp.url (a time stamp authority) are theirs to add.
"""

from __future__ import annotations

import datetime
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sorairo.types import UserError

__all__ = ["Identity", "anchors", "can_sign", "identity", "mark_key", "provenance_folder"]

YEARS = 20  # without a time stamp, a signature is worth as much as its certificate is still valid
CLAIM_SIGNING = (
    "1.3.6.1.4.1.62558.2.1"  # C2PA's purpose of a key; email protection is what older readers expect
)
ALGORITHMS = {"secp256r1": b"es256", "secp384r1": b"es384", "secp521r1": b"es512"}


@dataclass(frozen=True, kw_only=True)
class Identity:
    """chain: PEM, the signer's certificate first. algorithm: C2PA's name. timestamps: a URL; empty for none."""

    chain: bytes
    key: bytes
    algorithm: bytes
    timestamps: str = ""


def can_sign() -> bool:
    """Whether the packages that sign are installed."""
    return find_spec("c2pa") is not None


def provenance_folder() -> Path:
    """SORAIRO_PROVENANCE, or sorairo/provenance in the user's data folder (XDG_DATA_HOME, ~/.local/share)."""
    own = os.environ.get("SORAIRO_PROVENANCE")
    if own:
        return Path(own).expanduser()
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (data if data.is_absolute() else Path.home() / ".local" / "share") / "sorairo" / "provenance"


def identity(create: bool = True) -> Identity | None:
    """The signer of this installation; None where there is none yet and `create` is False. Raises UserError."""
    folder = provenance_folder() / "keys"
    if not folder.is_dir():
        if not create:
            return None
        make_keys(folder)
    address = folder / "timestamp.url"
    try:
        chain, key = (folder / "chain.pem").read_bytes(), (folder / "key.pem").read_bytes()
        timestamps = address.read_text().strip() if address.exists() else ""
    except OSError as error:
        raise UserError(
            f"{error.filename} cannot be read ({(error.strerror or '').lower()}); put it back, or remove {folder} and "
            "new keys are made."
        ) from error
    return Identity(chain=chain, key=key, algorithm=algorithm_of(chain, key, folder), timestamps=timestamps)


def mark_key(create: bool = True) -> bytes | None:
    """32 secret bytes, from which the invisible mark's patterns are drawn; None as for `identity`. Raises UserError."""
    path = provenance_folder() / "mark.key"
    try:
        if not path.exists():
            if not create:
                return None
            temporary = path.with_name(f".{secrets.token_hex(6)}.part")
            path.parent.mkdir(parents=True, exist_ok=True)
            private(temporary, secrets.token_bytes(32))
            with suppress(FileExistsError):  # of two first runs, one makes it for both
                os.link(temporary, path)
            temporary.unlink()
        key = path.read_bytes()
    except OSError as error:
        raise cannot_make(path, error) from error
    if len(key) < 32:
        raise UserError(f"{path} holds {len(key)} bytes and not 32 secret ones; put it back, or remove it.")
    return key


def make_keys(folder: Path) -> None:
    """A folder with a key and its certificate, whole or not at all: of two first runs, one makes it for both."""
    temporary = folder.with_name(f".{secrets.token_hex(6)}.part")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir(mode=0o700)
        key, chain = new_certificate()
        private(temporary / "key.pem", key)
        (temporary / "chain.pem").write_bytes(chain)
        os.rename(temporary, folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if not folder.is_dir():
            raise cannot_make(folder, error) from error


def cannot_make(path: Path, error: OSError) -> UserError:
    return UserError(
        f"The keys that sign files cannot be made in {path} ({(error.strerror or '').lower()}); name a folder that you "
        "may write to as SORAIRO_PROVENANCE."
    )


def anchors(trust: tuple[Path, ...] = ()) -> dict[str, str]:
    """c2pa's settings of the certificates that are trusted: this installation's signer, trust.pem beside its keys, and
    `trust` (PEM files). Raises UserError."""
    more = provenance_folder() / "keys" / "trust.pem"
    own = identity(create=False)
    roots = [own.chain.decode()] if own else []
    try:
        roots += [path.read_text(errors="replace") for path in (*trust, *([more] if more.exists() else []))]
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read ({(error.strerror or '').lower()}).") from error
    for text in roots[1 if own else 0 :]:
        if not holds_certificates(text.encode()):
            raise UserError("--trust takes certificates in PEM, and this file holds none.")
    return {"user_anchors": "\n".join(roots), "allowed_list": "\n".join(roots)} if roots else {}


def holds_certificates(text: bytes) -> bool:
    """Whether it is PEM with whole certificates."""
    from cryptography import x509

    try:
        return bool(x509.load_pem_x509_certificates(text))
    except ValueError:
        return False


def private(path: Path, data: bytes) -> None:
    """Write a file that nobody else may read at any moment."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(number)


def new_certificate() -> tuple[bytes, bytes]:
    """(private key, chain) as PEM. The root's key signs one certificate and is forgotten: nobody can sign another."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    number = secrets.token_hex(4)  # tells installations apart and names nobody

    def named(common: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"Sorairo installation {number}"),
                x509.NameAttribute(NameOID.COMMON_NAME, common),
            ]
        )

    def certificate(subject: str, public: Any, root: bool) -> x509.Certificate:
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
        )
        usage |= {"encipher_only": False, "decipher_only": False}
        made = (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named("root"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
            .not_valid_after(now + datetime.timedelta(days=365 * YEARS))
            .add_extension(x509.BasicConstraints(root, 0 if root else None), True)
            .add_extension(
                x509.KeyUsage(digital_signature=not root, key_cert_sign=root, crl_sign=root, **usage), True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        )
        if not root:
            purposes = [ExtendedKeyUsageOID.EMAIL_PROTECTION, ObjectIdentifier(CLAIM_SIGNING)]
            made = made.add_extension(x509.ExtendedKeyUsage(purposes), False).add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), False
            )
        return made.sign(root_key, hashes.SHA256())

    chain = [certificate("signer", key.public_key(), False), certificate("root", root_key.public_key(), True)]
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return secret, b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)


def algorithm_of(chain: bytes, key: bytes, folder: Path) -> bytes:
    """C2PA's name of a key's algorithm. Raises UserError for what cannot sign, and for a key of another certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    try:
        secret = serialization.load_pem_private_key(key, None)
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except (ValueError, TypeError, IndexError) as error:
        raise UserError(
            f"{folder}: key.pem must be a private key without a password and chain.pem its certificates, in PEM."
        ) from error
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if secret.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise UserError(f"{folder}: key.pem is not the key of the first certificate in chain.pem.")
    match secret:
        case ec.EllipticCurvePrivateKey() if secret.curve.name in ALGORITHMS:
            return ALGORITHMS[secret.curve.name]
        case ed25519.Ed25519PrivateKey():
            return b"ed25519"
        case rsa.RSAPrivateKey():
            return b"ps256"
    raise UserError(
        f"{folder}: C2PA signs with P-256, P-384, P-521, Ed25519 or RSA keys; key.pem is another."
    )
