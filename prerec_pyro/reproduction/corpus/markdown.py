"""Results over a corpus as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prerec_pyro.evaluation.bootstrap import mean_over_seeds
from prerec_pyro.reproduction.cells import METRICS
from prerec_pyro.reproduction.corpus.time_kind import TimeKind
from prerec_pyro.reproduction.markdown import METRIC_NAMES, comparisons, table_text

Record = Mapping[str, Any]


def about(facts: Record) -> str:
    """Return the settings of a leave-one-out table, a paragraph and, for a sample, a warning before it."""
    return _sample(facts) + (
        "Each target in turn; its sources are all other domains that do not overlap it. "
        f"{_common(facts)} Brackets: 95 % interval of the bootstrap over users, on values averaged over the seeds."
    )


def scaling_about(facts: Record) -> str:
    """Return the settings of a scaling table, a paragraph and, for a sample, a warning before it."""
    orders = f"{facts['orders']} random order{'s' if facts['orders'] > 1 else ''} of the sources"
    which = "All targets have the same sources; none" if facts["common_sources"] else "No source"
    interval = "; ± is half of the 95 % interval over the orders (Student's t)" if facts["orders"] > 1 else ""
    return _sample(facts) + (
        f"Targets: {', '.join(facts['targets'])}. {orders}, nested within an order{interval}. {which} overlaps a "
        f"target. {_common(facts)}"
    )


def ratios(facts: Sequence[Record], found: Sequence[Record], means: Sequence[Record]) -> str:
    """Return the ratios to the best other row: one line per target, and the geometric mean as the last."""
    rows = {one["row"]: one["label"] for one in found}
    heads = ["target", "items", "queries", "log"]
    heads += [f"{METRIC_NAMES[metric]}: {label}" for metric in METRICS for label in ("best other", *rows.values())]
    by_key = {(one["target"], one["row"], one["metric"]): one for one in found}
    lines = []
    for one in facts:
        name = one["target"]
        line = [_plain(name), f"{one['num_items']:,}", f"{one['num_queries']:,}", str(TimeKind(**one["times"]))]
        for metric in METRICS:
            own = [by_key[name, row, metric] for row in rows]
            line += [_plain(own[0]["against_label"]), *map(_ratio, own)]
        lines.append(line)
    mean_of = {(one["row"], one["metric"]): one for one in means}
    last = ["**geometric mean**", "", "", ""]
    for metric in METRICS:
        last += ["", *(_ratio(mean_of[row, metric]) for row in rows)]
    text = f"## Ratio to the best other row\n\n{table_text(heads, [*lines, last])}"
    return "\n\n".join([text, *_notes(facts, means)])


def target(facts: Record, rows: Sequence[Record], compared: Sequence[Record]) -> str:
    """Return the section of one target: its facts, the metrics of each row with intervals, and the comparisons."""
    heads = ["method", *(f"{METRIC_NAMES[metric]}@{facts['k_percent']:.3g}%" for metric in METRICS)]
    lines = [[_plain(row["label"]), *(_metric(row, metric) for metric in METRICS)] for row in rows]
    parts = [f"## {facts['target']}", _facts(facts), table_text(heads, lines)]
    return "\n\n".join([*parts, *([comparisons(compared)] if compared else [])])


def curve(records: Sequence[Record]) -> str:
    """Return the curve of a scaling report as a table: one line per size, one column per row and metric."""
    rows = {one["row"]: one["label"] for one in records}
    heads = ["source domains", "interactions in them"]
    heads += [f"{METRIC_NAMES[metric]}: {label}" for metric in METRICS for label in rows.values()]
    by_key = {(one["domains"], one["row"]): one for one in records}
    lines = []
    for size in sorted({one["domains"] for one in records}):
        own = [by_key[size, row] for row in rows]
        line = [str(size), f"{own[0]['interactions']:,.0f}"]
        lines.append(line + [_mean(one[metric], 3) for metric in METRICS for one in own])
    title = "## Geometric mean over the targets of the ratio to the best row without sources"
    return f"{title}\n\n{table_text(heads, lines)}"


def scaling_target(facts: Record, points: Sequence[Record]) -> str:
    """Return the section of one target of a scaling report: the metrics by size, mean over the orders."""
    rows = {one["row"]: one["label"] for one in points}
    k = f"@{facts['k_percent']:.3g}%"
    heads = ["source domains", *(f"{METRIC_NAMES[m]}{k}: {label}" for m in METRICS for label in rows.values())]
    best = points[0]["against"]
    lines = [["none", *(f"{_plain(best[m]['label'])} {best[m]['mean']:.4f}" for m in METRICS for _ in rows)]]
    for size in sorted({one["domains"] for one in points}):
        line = [str(size)]
        for metric in METRICS:
            for row in rows:
                own = [one[metric]["mean"] for one in points if (one["row"], one["domains"]) == (row, size)]
                line.append(_mean(mean_over_seeds(own), 4))
        lines.append(line)
    return f"## {facts['target']}\n\n{_facts(facts)}\n\n{table_text(heads, lines)}"


def _sample(facts: Record) -> str:
    if facts["max_queries"] is None:
        return ""
    return (
        f"**A sample, not the result:** about {facts['max_queries']:,} queries of each target are measured "
        f"(--max-queries), those of {facts['split']} users drawn at random.\n\n"
    )


def _common(facts: Record) -> str:
    seeds = f"{facts['seeds']} training seed{'s' if facts['seeds'] > 1 else ''}"
    interval = "; ± is half of the 95 % interval of the mean over them (Student's t)" if facts["seeds"] > 1 else ""
    groups = "; ".join(", ".join(group) for group in facts["overlaps"]) or "none declared"
    left = [name for name in facts["corpus"] if name not in facts["may_be_sources"]]
    never = f" Never a source: {', '.join(left)}." if left else ""
    users = f"{facts['split'].capitalize()} users of the 4:3:3 split of seed {facts['split_seed']}"
    return (
        f"Corpus: {', '.join(facts['corpus'])}. Overlaps: {groups}.{never} {users}, K% = {facts['k_percent']:g}, "
        f"{seeds}{interval}. prerec-pyro {facts['version']}."
    )


def _facts(facts: Record) -> str:
    items = f"{facts['k_items']} item{'s' if facts['k_items'] > 1 else ''}"
    raised = " (the K% asked is less than one)" if facts["k_raised"] else ""
    sources = f" Sources: {', '.join(facts['sources'])}." if facts["sources"] else ""
    return (
        f"{facts['num_queries']:,} queries of {facts['num_users']:,} users, {facts['num_items']:,} items, lists of "
        f"{items}{raised}. Log: {TimeKind(**facts['times'])}.{sources}"
    )


def _notes(facts: Sequence[Record], means: Sequence[Record]) -> list[str]:
    """Return the notes under the table of ratios that apply to it."""
    notes = []
    kinds = {one["times"]["kind"] for one in facts}
    tied = any(one["times"]["tied"] for one in facts)
    if tied:
        notes.append(
            "*Tied*: share of the events that share the user and the time with another (the day, where only *days* are "
            "known). Tied events keep the order of the file, so a query may follow events of its own basket."
        )
    if "order" in kinds:
        notes.append("*Order only*: the log has no times, and popularity counts the whole log in one static window.")
    raised = [f"{one['target']} ({one['k_percent']:.3g} %)" for one in facts if one["k_raised"]]
    if raised:
        notes.append(f"K is one item in {', '.join(raised)}, since the K% asked is less than one item there.")
    if any(one["left_out"] for one in means):
        notes.append("–: the other rows found nothing; such a target is left out of the geometric mean.")
    return notes


def _metric(record: Record, metric: str) -> str:
    value = record[metric]
    text = _mean(value, 4)
    text = f"**{text}**" if metric in record["best"] else text
    return text + _interval(value, 4)


def _mean(value: Record | None, digits: int) -> str:
    if value is None:
        return "–"
    half = "" if value["half_width"] is None else f" ± {value['half_width']:.{digits}f}"
    return f"{value['mean']:.{digits}f}{half}"


def _ratio(one: Record) -> str:
    if one["ratio"] is None:
        return "–"
    return f"{one['ratio']:.3f}{_interval(one, 3)}"


def _interval(one: Record, digits: int) -> str:
    """Return the interval in brackets; an end that is not known is a dash, and nothing where both are not."""
    ends = ["–" if one[end] is None else f"{one[end]:.{digits}f}" for end in ("low", "high")]
    return "" if ends == ["–", "–"] else f" ({ends[0]} to {ends[1]})"


def _plain(text: str) -> str:
    return text.replace("*", r"\*").replace("_", r"\_")
