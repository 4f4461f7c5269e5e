"""XMarket: the files of each market and category, and the choice of files to read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prerec_pyro.data.readers.files import existing_file
from prerec_pyro.errors import InputError

InteractionKind = Literal["ratings", "reviews"]
_NAME = re.compile(r"(?:(ratings)_([^_]+)_(.+)\.txt|(reviews|metadata)_([^_]+)_(.+)\.json)(?:\.gz)?", re.IGNORECASE)
_EXPECTED = (
    "expected ratings_<market>_<category>.txt, reviews_<market>_<category>.json or "
    "metadata_<market>_<category>.json, each also .gz"
)
_SHOWN = 8


@dataclass(frozen=True)
class Category:
    """Files to read of one category of a market; `kind` is the kind of the file `interactions`."""

    name: str
    kind: InteractionKind | None
    interactions: Path | None
    metadata: Path | None


@dataclass(frozen=True)
class Market:
    """Files to read of one market, with its categories in the order of their names."""

    name: str
    categories: list[Category]
    notes: list[str]


@dataclass(frozen=True)
class _File:
    kind: str
    market: str
    category: str
    path: Path


def find_market(
    sources: Sequence[Path],
    *,
    market: str | None = None,
    categories: Sequence[str] = (),
    interactions: InteractionKind | None = None,
) -> Market:
    """Return the files of one market among `sources`.

    Parameters
    ----------
    sources
        Files, recognised by their names, and folders, searched at any depth.
    market
        Name of the market; may be left out if there is only one.
    categories
        Names of the categories; all if empty.
    interactions
        Kind of file that holds the interactions; by default, for each category, the ratings, or the reviews if there
        are no ratings.

    Raises
    ------
    InputError
        If a source is missing or no file of XMarket, there is no such market or category, several markets leave the
        choice open, a file exists twice, or there are no interactions.
    """
    files = _found(sources)
    name = _chosen_market(files, market)
    files = _of_categories([file for file in files if file.market == name], name, categories)
    paths = _by_category(files)
    found: list[Category] = []
    for category, own in paths.items():
        kind = _kind(own, interactions)
        found.append(Category(category, kind, own.get(kind or ""), own.get("metadata")))
    _check_chosen(name, paths, interactions)
    return Market(name, found, _notes(paths, interactions))


def _found(sources: Sequence[Path]) -> list[_File]:
    files: dict[Path, _File] = {}
    for source in sources:
        inside = _walk(source) if source.is_dir() else [existing_file(source)]
        matched = [file for path in inside if (file := _named(path)) is not None]
        if not matched:
            content = f" It holds {listed([path.name for path in inside])}." if source.is_dir() else ""
            raise InputError(f"{source}: no file of XMarket; {_EXPECTED}.{content}")
        files |= {file.path.resolve(): file for file in matched}  # a file that was given twice counts once
    return list(files.values())


def _walk(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions")

    paths: list[Path] = []
    seen: set[Path] = set()
    # Large files are often links to another disk, so links are followed, but each folder is read once.
    for top, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        here = Path(top).resolve()
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        folders.sort()
        paths += [Path(top) / name for name in sorted(names)]
    return paths


def _named(path: Path) -> _File | None:
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    kind, market, category = (group for group in match.groups() if group is not None)
    return _File(kind.lower(), market.lower(), category, path)


def _chosen_market(files: Iterable[_File], market: str | None) -> str:
    found = sorted({file.market for file in files})
    if market is None:
        if len(found) > 1:
            raise InputError(
                f"files of {len(found)} markets ({', '.join(found)}), but a domain is one market; choose: "
                f"--market {found[0]}"
            )
        return found[0]
    if market.lower() not in found:
        raise InputError(f"--market {market}: no file of that market; there are files of {', '.join(found)}")
    return market.lower()


def _of_categories(files: list[_File], market: str, categories: Sequence[str]) -> list[_File]:
    found = sorted({file.category for file in files})
    wanted = {category.lower() for category in categories}
    for category in categories:
        if category.lower() not in {name.lower() for name in found}:
            raise InputError(f"--category {category}: market {market} has no file of it; it has {', '.join(found)}")
    return [file for file in files if not wanted or file.category.lower() in wanted]


def _by_category(files: Iterable[_File]) -> dict[str, dict[str, Path]]:
    """Return category → kind → path, in the order of the categories' names."""
    paths: dict[str, dict[str, Path]] = {}
    for file in sorted(files, key=lambda file: file.category):
        other = paths.setdefault(file.category, {}).setdefault(file.kind, file.path)
        if other != file.path:
            raise InputError(
                f"{other} and {file.path}: both are the {file.kind} of {file.market}, {file.category}; name one of them"
            )
    return paths


def _kind(own: Mapping[str, Path], requested: InteractionKind | None) -> InteractionKind | None:
    # Both hold the same interactions; ratings are shorter and simpler to parse.
    kinds: tuple[InteractionKind, ...] = ("ratings", "reviews") if requested is None else (requested,)
    return next((kind for kind in kinds if kind in own), None)


def _check_chosen(market: str, paths: Mapping[str, Mapping[str, Path]], requested: InteractionKind | None) -> None:
    """Raise `InputError` if the choice leaves interactions out silently, or finds none."""
    for category, own in paths.items():
        kinds = [kind for kind in ("ratings", "reviews") if kind in own]
        if requested is not None and kinds and requested not in kinds:
            raise InputError(
                f"--interactions {requested}: market {market} has no {requested} file of {category}, but a {kinds[0]} "
                "file; leave --interactions out, or choose other categories with --category"
            )
    if not any({"ratings", "reviews"} & set(own) for own in paths.values()):
        raise InputError(
            f"market {market}: no ratings and no reviews, only metadata ({listed(list(paths))}); {_EXPECTED}"
        )


def _notes(paths: Mapping[str, Mapping[str, Path]], requested: InteractionKind | None) -> list[str]:
    notes: list[str] = []
    both = [category for category, own in paths.items() if {"ratings", "reviews"} <= set(own)]
    if both:
        used, unused = ("reviews", "ratings") if requested == "reviews" else ("ratings", "reviews")
        notes.append(f"{listed(both)}: {used} were read and {unused} were not, since both hold the same interactions")
    neither = [category for category, own in paths.items() if not {"ratings", "reviews"} & set(own)]
    if neither:
        notes.append(f"{listed(neither)}: no ratings and no reviews, so its items have no interactions of their own")
    return notes


def listed(names: Sequence[str]) -> str:
    """Return the first few names, joined by commas."""
    return ", ".join(names[:_SHOWN]) + (f", … ({len(names)} in all)" if len(names) > _SHOWN else "") or "nothing"
