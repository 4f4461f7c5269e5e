"""Checks and fingerprints of the domains of a study."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.encoded import EncodedDomain
from prerec_pyro.errors import InputError

_TEXT_HASHES: WeakKeyDictionary[EncodedDomain, str] = WeakKeyDictionary()  # the same domain is in many studies


def tables_of(domain: Domain | EncodedDomain) -> Domain:
    """Return the tables of a domain, encoded or not."""
    return domain.domain if isinstance(domain, EncodedDomain) else domain


def check_distinct(sources: Sequence[Domain], targets: Sequence[Domain]) -> None:
    """Raise `InputError` if two domains share a name or their data."""
    domains = [*sources, *targets]
    for place, one in enumerate(domains):
        for other in domains[:place]:
            if one.name == other.name:
                raise InputError(
                    f"two domains are called {one.name!r}; each source and target must be another domain, with a name "
                    "of its own (data import --name)"
                )
            if one.fingerprint == other.fingerprint:
                raise InputError(
                    f"domains {other.name!r} and {one.name!r} hold the same data; a target must not be a source, "
                    "leave one of the two out"
                )


def domain_facts(encoded: EncodedDomain) -> dict[str, str]:
    """Return name, fingerprint and hash of the text embeddings, which the fingerprint does not cover."""
    if encoded not in _TEXT_HASHES:
        _TEXT_HASHES[encoded] = hashlib.sha256(encoded.texts.numpy().tobytes()).hexdigest()
    return {"name": encoded.name, "fingerprint": encoded.domain.fingerprint, "texts": _TEXT_HASHES[encoded]}
