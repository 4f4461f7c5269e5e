"""Overlaps of domains: groups that share items or people, declared in a JSON file."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path

from prerec_pyro.errors import InputError

_EXPECTED = (
    'expected a list of groups of domain names, such as [["films-a", "films-b"], ["shop-de", "shop-fr", "shop-uk"]]'
)


def read_overlaps(path: Path, names: Collection[str]) -> list[frozenset[str]]:
    """Return the groups of domains that share items or people.

    The file holds a JSON list of groups, each a list of two or more domain names. No domain is a source of a target of
    the same group. A domain may be in several groups; overlap is not passed on from one group to another.

    Parameters
    ----------
    path
        The JSON file.
    names
        Names of the domains of the corpus.

    Raises
    ------
    InputError
        If the file cannot be read, has another form, or names a domain that is not in the corpus: a name with a typing
        error would let an overlap pass.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--overlaps {path}: cannot be read ({error.strerror or error}); name a JSON file") from None
    except ValueError as error:
        raise InputError(f"--overlaps {path}: is no JSON ({error}); {_EXPECTED}") from None
    if not isinstance(content, list):
        raise InputError(f"--overlaps {path}: holds no list; {_EXPECTED}")
    for number, group in enumerate(content, start=1):
        if not _is_group(group):
            raise InputError(f"--overlaps {path}: group {number} is no list of two or more names; {_EXPECTED}")
    groups = [frozenset(group) for group in content]
    unknown = sorted(set().union(*groups) - set(names))
    if unknown:
        raise InputError(
            f"--overlaps {path}: {', '.join(map(repr, unknown))} {'is' if len(unknown) == 1 else 'are'} not in the "
            f"corpus, which holds {', '.join(sorted(names))}; correct the name, or add the domain by --corpus"
        )
    return groups


def overlapping(name: str, groups: Iterable[frozenset[str]]) -> frozenset[str]:
    """Return the domain itself and all domains that overlap it."""
    return frozenset({name}).union(*(group for group in groups if name in group))


def _is_group(group: object) -> bool:
    return isinstance(group, list) and all(isinstance(name, str) for name in group) and len(set(group)) >= 2
