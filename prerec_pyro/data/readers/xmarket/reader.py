"""Reader of XMarket: one market of the published files, with all its categories, as a `Domain`."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from prerec_pyro.data.domain import Domain
from prerec_pyro.data.frames import Origin
from prerec_pyro.data.readers.xmarket.events import EventLog
from prerec_pyro.data.readers.xmarket.files import InteractionKind, Market, find_market, listed
from prerec_pyro.data.readers.xmarket.items import Catalogue

logger = logging.getLogger(__name__)


def read_xmarket(
    source: str | Path | Sequence[str | Path],
    *,
    market: str | None = None,
    categories: Sequence[str] = (),
    interactions: InteractionKind | None = None,
    name: str | None = None,
) -> Domain:
    """Return the domain of one market, with users and items joined across its categories.

    The catalogue holds the items of the metadata, with or without interactions. Interactions with other items are
    dropped, as the authors of the paper do. A category without a metadata file has the items of its interactions,
    without texts. Categories are read in the order of their names and lines in the order of the file, so events of one
    user and day keep that order. Files are streamed: memory grows with ids and texts, not with reviews.

    Parameters
    ----------
    source
        Files ``ratings_<market>_<category>.txt``, ``reviews_<market>_<category>.json`` and
        ``metadata_<market>_<category>.json``, each also ``.gz``, and folders that hold such, at any depth.
    market
        Name of the market, such as ``"ca"``; may be left out if there is only one.
    categories
        Names of the categories; all by default.
    interactions
        ``"ratings"`` or ``"reviews"``; both hold the same interactions. By default ratings, and reviews for a category
        without ratings.
    name
        Name of the domain; by default ``"xmarket-ca"``.

    Raises
    ------
    InputError
        If files are missing, damaged or of another form, or several markets leave the choice open; see `find_market`,
        `EventLog.read`, `Catalogue.read` and `Domain.from_tables`.
    """
    paths = [Path(source)] if isinstance(source, str | Path) else [Path(part) for part in source]
    chosen = find_market(paths, market=market, categories=categories, interactions=interactions)
    catalogue, log = Catalogue(), EventLog()
    read: list[str] = []
    for category in chosen.categories:
        if category.metadata is not None:
            logger.info("reading %s", category.metadata)
            catalogue.read(category.metadata)
            read.append(category.metadata.name)
        if category.interactions is not None:
            logger.info("reading %s", category.interactions)
            log.read(category)
            read.append(category.interactions.name)
    notes = [*chosen.notes, *_without_metadata(chosen, catalogue, log)]
    items, events = catalogue.take(), log.table()
    notes += [*log.notes, *catalogue.notes]
    dropped = log.dropped | catalogue.dropped
    del catalogue, log  # so that memory holds ids and texts only once
    origins = (Origin(f"interactions of market {chosen.name}"), Origin(f"items of market {chosen.name}"))
    domain = Domain.from_tables(events, items, name=name or f"xmarket-{chosen.name}", source=origins)
    domain = dataclasses.replace(domain, provenance=domain.provenance | {"files": read})
    return domain.with_notes(*notes, dropped=dropped)


def _without_metadata(market: Market, catalogue: Catalogue, log: EventLog) -> list[str]:
    """Add the items of categories without metadata to the catalogue, and return notes on them."""
    bare = [c.name for c in market.categories if c.metadata is None]
    added = sum(catalogue.add_without_text(log.items_of(category)) for category in bare)
    if not bare:
        return []
    example = f"metadata_{market.name}_{bare[0]}.json.gz"
    return [
        f"no file of metadata for {listed(bare)}, so {added:,} items have no text; give {example} too"
        + (" and the like" if len(bare) > 1 else "")
    ]
