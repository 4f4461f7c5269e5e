"""Results of a study as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prerec_pyro.reproduction.cells import METRICS

METRIC_NAMES = {"recall": "Recall", "r_ndcg": "r-NDCG"}


def about(facts: Mapping[str, Any]) -> str:
    """Return the settings behind the numbers, a paragraph."""
    seeds = f"{facts['seeds']} training seed{'s' if facts['seeds'] > 1 else ''}"
    interval = "; ± is half of the 95 % interval of the mean over them (Student's t)" if facts["seeds"] > 1 else ""
    users = f"{facts['split'].capitalize()} users of the 4:3:3 split of seed {facts['split_seed']}"
    start = "" if "from" not in facts else f"PreRec starts from the model {facts['from'][0]} ({facts['from'][1]}). "
    return (
        f"{start}Sources: {', '.join(facts['sources']) or 'none'}. {users}, {seeds}{interval}. "
        "*Unseen* leaves out queries with a user or item that occurs in a source. "
        f"A star: trained from scratch on the target alone. Bold: the best of a column among rows "
        f"with equal samples. prerec-pyro {facts['version']}."
    )


def rows(records: Sequence[Mapping[str, Any]], k_percent: float) -> str:
    """Return the table of one target: one line per row, one column per metric and subset.

    A row with several numbers of samples has one line for each.

    Parameters
    ----------
    records
        Records of the target; see `summary.records`.
    k_percent
        K% in percent.
    """
    counts = {record["subset"]: record["num_queries"] for record in records}
    subsets = _subset_names(counts)
    with_samples = any("samples" in record for record in records)
    heads = ["method", *(["samples"] if with_samples else [])]
    heads += [f"{METRIC_NAMES[metric]}@{k_percent:g}%, {subsets[subset]}" for metric in METRICS for subset in subsets]
    by_key: dict[tuple[str, int | None], dict[str, Mapping[str, Any]]] = {}
    for record in records:
        by_key.setdefault((record["row"], record.get("samples")), {})[record["subset"]] = record
    lines = []
    for (_, samples), found in by_key.items():
        first = next(iter(found.values()))
        line = [first["label"].replace("*", r"\*").replace("_", r"\_")]
        line += [_samples(samples, first.get("is_all", False))] if with_samples else []
        lines.append(line + [_cell(found.get(subset), metric) for metric in METRICS for subset in subsets])
    queries = ", ".join(f"{counts[subset]:,} {name}" for subset, name in subsets.items())
    return f"{table_text(heads, lines)}\n\nQueries: {queries}."


def comparisons(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the comparisons as a list, one line per metric, subset and row of ours; see `summary.comparisons`."""
    subsets = _subset_names({one["subset"]: one["num_queries"] for one in found})
    lines = ["Paired bootstrap over users against the best other row, on values averaged over the seeds:", ""]
    for one in (one for one in found if one["subset"] in subsets):
        samples = f" on {one['samples']:,} samples" if one.get("samples") else ""
        text = f"- {METRIC_NAMES[one['metric']]}, {subsets[one['subset']]}: `{one['row']}`{samples} "
        text += f"less `{one['against']}` {one['difference']:+.4f}"
        if one["low"] is not None:
            share = one["share_not_better"]
            text += f" (95 % {one['low']:+.4f} to {one['high']:+.4f}; {share:.2%} of the draws at 0 or below)"
        lines.append(text)
    return "\n".join(lines)


def popularity(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the quantiles of `popularity_summary` as a table."""
    heads = list(records[0])
    lines = [[f"{v:.3g}" if isinstance(v, float) else f"{v}" for v in record.values()] for record in records]
    return table_text([head.replace("_", " ") for head in heads], lines)


def _subset_names(counts: Mapping[str, int]) -> dict[str, str]:
    """Return the subsets to print and their names: a single one where all queries are unseen."""
    if counts.get("unseen") == counts["all"]:
        return {"all": "all/unseen"}
    return {subset: subset for subset in counts}


def _cell(record: Mapping[str, Any] | None, metric: str) -> str:
    if record is None or record[metric] is None:
        return "–"
    value = record[metric]
    text = f"{value['mean']:.4f}" + ("" if value["half_width"] is None else f" ± {value['half_width']:.4f}")
    return f"**{text}**" if metric in record["best"] else text


def _samples(number: int | None, is_all: bool) -> str:
    if not number:
        return "0"
    return f"all, {number:,}" if is_all else f"{number:,}"


def table_text(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are aligned to the right."""
    ruler = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, ruler, *lines))
