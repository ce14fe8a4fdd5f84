"""Passwords as scrypt makes them unreadable: "scrypt$N$r$p$salt$hash"."""

import hashlib
import hmac
import secrets
import threading

SHORTEST = 8
COST, BLOCK, LANES = 2**14, 8, 5  # of the settings that OWASP recommends the one with the least memory: 16 MiB

# Two at a time, or a crowd that signs in would need more memory than the container may have.
_turn = threading.BoundedSemaphore(2)


def scramble(password: str) -> str:
    salt = secrets.token_bytes(16)
    return f"scrypt${COST}${BLOCK}${LANES}${salt.hex()}${_scrypt(password, salt, COST, BLOCK, LANES).hex()}"


def matches(password: str, scrambled: str) -> bool:
    """With the settings that the password was stored with, which may be older than those above."""
    _, cost, block, lanes, salt, expected = scrambled.split("$")
    found = _scrypt(password, bytes.fromhex(salt), int(cost), int(block), int(lanes))
    return hmac.compare_digest(found, bytes.fromhex(expected))


def _scrypt(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    with _turn:
        return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=lanes, maxmem=64 * 2**20)


# The hash of no password at all, to compare with when there is no such account.
NOBODYS = f"scrypt${COST}${BLOCK}${LANES}${'00' * 16}${'00' * 64}"
