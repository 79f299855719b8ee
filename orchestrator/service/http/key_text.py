"""How a key looks, and when one that was shown is the one that is kept. Costs nothing to import."""

import hashlib
import hmac
import re
import secrets
from typing import Final

from orchestrator.ports.keys import ApiKey

ID_CHARS: Final = 12  #: of the visible part of a key
SECRET_BYTES: Final = 32
KEY: Final = re.compile(rf"ho_([a-z0-9]{{{ID_CHARS}}})_([A-Za-z0-9_-]{{43}})")
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"


def new_key() -> tuple[str, str]:
    """A new key, and its id. The key is shown once and kept nowhere."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(ID_CHARS))
    return f"ho_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}", key_id


def digest_of_key(key: str) -> str:
    """What a store keeps of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def is_valid(found: ApiKey | None, key: str, now_s: float) -> bool:
    """Whether a stored key is this one, and in force. Takes equally long for a wrong key as for a right one."""
    digest = found.digest if found is not None else "0" * 64
    same = hmac.compare_digest(digest, digest_of_key(key))
    return found is not None and same and is_in_force(found, now_s)


def is_in_force(key: ApiKey, now_s: float) -> bool:
    """Whether a key is neither revoked nor expired."""
    return key.revoked_at_s is None and (key.expires_at_s is None or now_s < key.expires_at_s)
