"""Passwords as scrypt hashes (RFC 7914), and the key that signs sessions; no I/O, and no randomness of its own.

A hash is `scrypt.N.r.p.salt.key`, salt and key in base64url without padding: no character of it means anything to a shell.
"""

import hashlib
import hmac
import re
import unicodedata
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Self

LEAST_CHARACTERS = 8

COST = 2**15  # with r = 8: 32 MiB, and about 0.1 s on one core
MAX_COST = 2**17
BLOCK = 8
KEY_BYTES = 32

_SHAPE = re.compile(r"scrypt\.([1-9][0-9]{0,6})\.8\.1\.([A-Za-z0-9_-]{11,86})\.([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, repr=False)
class _Hash:
    """A hash taken apart."""

    cost: int
    salt: bytes
    key: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """ValueError, which never holds the text, if it is no hash of ours."""
        match = _SHAPE.fullmatch(text)
        if match is None or not _is_cost(int(match[1])) or len(match[2]) % 4 == 1:
            raise ValueError("a line that `python -m lambdazoom password` prints")
        return cls(int(match[1]), _decoded(match[2]), _decoded(match[3]))

    def __str__(self) -> str:
        return f"scrypt.{self.cost}.{BLOCK}.1.{_encoded(self.salt)}.{_encoded(self.key)}"


def hash_password(password: str, salt: bytes) -> str:
    """The hash of a password, with a salt of 16 random bytes that no other password has."""
    return str(_Hash(COST, salt, _derived(password, salt, COST)))


def is_right(password: str, hashed: str) -> bool:
    """Whether the password is the hashed one, found in a time that tells nothing; ValueError if `hashed` is no hash of ours."""
    wanted = _Hash.parse(hashed)
    return hmac.compare_digest(_derived(password, wanted.salt, wanted.cost), wanted.key)


def checked(hashed: str) -> str:
    """The hash, or "" for none; ValueError if it is no hash of ours."""
    return str(_Hash.parse(hashed)) if hashed else ""


def session_key(secret: str, hashed: str) -> bytes:
    """What sessions are signed with. It is made of both, so that a new password ends every session."""
    return hmac.digest(secret.encode(), hashed.encode(), "sha256")


def _is_cost(cost: int) -> bool:
    return 2**14 <= cost <= MAX_COST and cost.bit_count() == 1


def _derived(password: str, salt: bytes, cost: int) -> bytes:
    # keyboards send an umlaut as one character or as two: NFC makes them one password (RFC 8265, section 4.2)
    text = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(text, salt=salt, n=cost, r=BLOCK, p=1, maxmem=2 * 128 * BLOCK * cost, dklen=KEY_BYTES)


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
