"""Train a model to ship, on imported logs, and export it with its model card.

    python benchmarks/pretrain.py --corpus d/amazon-office --corpus d/ml-100k … --name base --out models
    python benchmarks/pretrain.py --corpus d/online-retail --corpus d/movietweetings-100k … --name open --out models
    python benchmarks/pretrain.py --model models/base-whole --name base --out models    # exports a trained model again

Writes two model folders to --out: NAME-whole, the trained model with the items of its sources, and NAME, the portable
copy. NAME ships with the package as prerec_pyro/pretrained/NAME. Texts are read by the packaged encoder. What the card
says of each log beside its size is in corpus_terms.json; a log that is not in it is refused, and so is a model called
open whose sources do not all allow any use. An interrupted training continues with --resume.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prerec_pyro.data.domain import Domain
from prerec_pyro.errors import InputError
from prerec_pyro.recommenders.prerec import PreRec
from prerec_pyro.recommenders.pretrained.shipped import model_hash
from prerec_pyro.recommenders.runs.files import prerec_run, read_document

TERMS = Path(__file__).with_name("corpus_terms.json")
METRICS = ("recall", "r_ndcg")


def terms_of(names: Sequence[str], file: Path, model: str) -> dict[str, dict[str, Any]]:
    """Return what `file` says of each source; refuse one without terms, or with terms that the model cannot have."""
    stated = json.loads(file.read_text("utf-8"))
    if missing := [name for name in names if name not in stated]:
        raise InputError(f"--terms {file}: says nothing of {', '.join(missing)}; add kind, language, terms and any_use")
    if model == "open" and (bound := [name for name in names if not stated[name]["any_use"]]):
        raise InputError(f"--name open: the terms of {', '.join(bound)} do not allow any use; leave them out")
    return {name: stated[name] for name in names}


def left_out_rows(file: Path) -> list[dict[str, Any]]:
    """Return the rows on all queries of a leave-one-domain-out table, the JSON of ``reproduce transfer``."""
    content = json.loads(file.read_text("utf-8"))
    rows = content["rows"] if isinstance(content, Mapping) else content
    kept = [row for row in rows if row.get("subset", "all") == "all"]
    try:
        return [
            {"target": row["target"], "label": row["label"]} | {metric: _mean(row[metric]) for metric in METRICS}
            for row in kept
        ]
    except (KeyError, TypeError) as error:
        raise InputError(f"--transfer {file}: expected rows with target, label, recall and r_ndcg ({error})") from None


def _mean(value: Any) -> float:
    return float(value["mean"] if isinstance(value, Mapping) else value)


def train(folders: Sequence[Path], given: argparse.Namespace, state: Path) -> PreRec:
    """Return a model that is trained on the domains of `folders`; its state after each epoch is in `state`."""
    document = {} if given.config is None else read_document(given.config)
    run = prerec_run(document, str(given.config))
    chosen = {"epochs": given.epochs, "seed": given.seed}
    settings = run.training.model_copy(update={name: value for name, value in chosen.items() if value is not None})
    domains = [Domain.load(folder) for folder in folders]
    model = run.model_copy(update={"training": settings}).model(given.device)
    return model.fit(domains, progress_folder=state, resume=given.resume)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train or load, export, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", action="append", type=Path, default=[], help="imported domain; once for each")
    parser.add_argument("--model", type=Path, help="trained model to export, in place of --corpus")
    parser.add_argument("--name", required=True, help="base, open, or a name of your own")
    parser.add_argument("--out", required=True, type=Path, help="folder for the two model folders")
    parser.add_argument("--config", type=Path, help="run in YAML, as `prerec-pyro train --print-config` prints it")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--terms", type=Path, default=TERMS, help="what the card says of each log")
    parser.add_argument("--transfer", type=Path, help="table.json of `reproduce transfer`, for the card")
    parser.add_argument("--dtype", choices=["float16", "float32"], default="float16")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args(arguments)
    try:
        export(given)
    except InputError as error:
        parser.error(str(error))


def export(given: argparse.Namespace) -> None:
    """Write the models that the arguments describe."""
    if bool(given.corpus) == (given.model is not None):
        raise InputError("give the logs to train on by --corpus, or a trained model by --model")
    rows = None if given.transfer is None else left_out_rows(given.transfer)
    whole, state = given.out / f"{given.name}-whole", given.out / f".{given.name}.training"
    began = time.perf_counter()
    if given.model is not None:
        model = PreRec.load(given.model, given.device)
    else:
        terms_of([Domain.load(folder).name for folder in given.corpus], given.terms, given.name)  # before the work
        model = train(given.corpus, given, state)
        model.save(whole)
        shutil.rmtree(state, ignore_errors=True)
        print(f"trained in {(time.perf_counter() - began) / 60:.1f} minutes: {whole}")
    names = [one["name"] for one in model.facts["domains"]]
    notes = terms_of(names, given.terms, given.name)
    folder = given.out / given.name
    model.export(folder, dtype=given.dtype, notes=notes, leave_one_out=rows)
    began = time.perf_counter()
    PreRec.from_pretrained(folder, "cpu")
    seconds = time.perf_counter() - began
    size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
    print(
        f"{folder}: {size:.2f} MiB, hash {model_hash(folder)}, loaded in {seconds:.3f} s; it knows {', '.join(names)}"
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
