"""Overlaps are read from a file, and a file that could let an overlap pass is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prerec_pyro.errors import InputError
from prerec_pyro.reproduction.corpus.overlaps import overlapping, read_overlaps

NAMES = ("films-a", "films-b", "shop", "stall")
COMMITTED = Path(__file__).parents[3] / "benchmarks" / "corpus_overlaps.json"


def test_groups_are_read_and_not_joined(tmp_path: Path) -> None:
    path = tmp_path / "overlaps.json"
    path.write_text(json.dumps([["films-a", "films-b"], ["films-b", "shop"]]))
    groups = read_overlaps(path, NAMES)
    assert overlapping("films-a", groups) == {"films-a", "films-b"}
    assert overlapping("films-b", groups) == {"films-a", "films-b", "shop"}
    assert overlapping("stall", groups) == {"stall"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[", "is no JSON"),
        ('{"films": ["films-a", "films-b"]}', "holds no list"),
        ('["films-a", "films-b"]', "group 1 is no list of two or more names"),
        ('[["films-a", "films-b"], ["shop", "shop"]]', "group 2 is no list of two or more names"),
        ('[["films-a", 3]]', "group 1 is no list of two or more names"),
        (
            '[["films-a", "film-b"], ["shop", "market"]]',
            "'film-b', 'market' are not in the corpus, which holds films-a",
        ),
        ('[["films-a", "film-b"]]', "'film-b' is not in the corpus"),
        (None, "cannot be read"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "overlaps.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=says) as error:
        read_overlaps(path, NAMES)
    assert f"--overlaps {path}: " in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not COMMITTED.is_file(), reason="no benchmarks here")
def test_the_declaration_of_the_corpus_is_one() -> None:
    names = {name for group in json.loads(COMMITTED.read_text("utf-8")) for name in group}
    groups = read_overlaps(COMMITTED, names)
    assert overlapping("ml-100k", groups) == {"ml-100k", "movielens-1m", "movietweetings-100k"}
    assert "amazon-all-beauty-2023" in overlapping("amazon-beauty-2014", groups)
