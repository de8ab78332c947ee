"""aigate beside scikit-learn on the same folds.

    AIGATE_BIN=target/debug/aigate AIGATE_GERMAN_CREDIT=german-credit.csv VENV/bin/python tests/clients/tabular/compare.py

prints the figures of all tables and algorithms as a Markdown table; the tests beside it hold them to what they have to be.
`AIGATE_GERMAN_CREDIT` may be left out or empty: then there are only the generated tables.
"""

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy
import program
import rivals
import tables
from sklearn.metrics import roc_auc_score, root_mean_squared_error
from tables import Table


@dataclass(frozen=True)
class Compared:
    """One algorithm on one table."""

    #: For each fold the area under the ROC curve, or the root mean squared error.
    ours: list[float]
    #: The same, one list for each way that scikit-learn has.
    theirs: list[list[float]]
    #: Of the first fold: the model file, the test rows' outcomes, the figures that aigate gave of them.
    model: Path
    outcome: numpy.ndarray
    figures: dict
    #: Of the first fold: what each test row's score is made of.
    explained: list[dict]
    #: Of the first fold: what scikit-learn's first way gave the test rows.
    their_scores: numpy.ndarray

    def means(self, classes: bool) -> tuple[float, float]:
        """Ours, and scikit-learn's best."""
        best = max if classes else min
        return float(numpy.mean(self.ours)), float(best(numpy.mean(way) for way in self.theirs))


@dataclass(frozen=True)
class Fold:
    model: Path
    test: Path
    figures: dict
    #: The test rows' scores, for each way that scikit-learn has.
    theirs: list[numpy.ndarray]


def compare(table: Table, algorithm: str, folder: Path) -> Compared:
    """Trains and measures both sides on each fold; writes into `folder`, which has to be there."""
    folds = list(enumerate(table.folds()))
    # Much of both sides' work keeps one core busy.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = list(pool.map(lambda fold: both(table, algorithm, folder, *fold), folds))
    first, (_, (_, unseen)) = done[0], folds[0]
    measure = roc_auc_score if table.classes else root_mean_squared_error
    measured = [
        [float(measure(table.outcome[test], scores)) for scores in fold.theirs]
        for fold, (_, (_, test)) in zip(done, folds, strict=True)
    ]
    return Compared(
        ours=[fold.figures["roc_auc" if table.classes else "rmse"]["value"] for fold in done],
        theirs=[list(way) for way in zip(*measured, strict=True)],
        model=first.model,
        outcome=table.outcome[unseen],
        figures=first.figures,
        explained=program.explain(first.model, first.test),
        their_scores=first.theirs[0],
    )


def both(table: Table, algorithm: str, folder: Path, at: int, fold: tuple[numpy.ndarray, numpy.ndarray]) -> Fold:
    known, unseen = fold
    train, test = write(table, known, folder / f"train-{at}.csv"), write(table, unseen, folder / f"test-{at}.csv")
    model = folder / f"{at}.json"
    # The figures of its own folds are not looked at: two are the fewest.
    program.train(train, table.target, algorithm, model, folds=2, trees=table.trees)
    ways = rivals.rivals(algorithm, table.classes, len(known), table.trees)
    return Fold(model, test, program.evaluate(model, test), [rival_scores(way, table, known, unseen) for way in ways])


def rival_scores(rival, table: Table, known: numpy.ndarray, unseen: numpy.ndarray) -> numpy.ndarray:
    fitted = rival.fit(table.inputs.iloc[known], table.outcome[known])
    return rivals.scores(fitted, table.inputs.iloc[unseen])


def write(table: Table, rows: numpy.ndarray, path: Path) -> Path:
    table.data.iloc[rows].to_csv(path, index=False)
    return path


def main() -> None:
    german = os.environ.get("AIGATE_GERMAN_CREDIT")
    print("| table | algorithm | figure | aigate | scikit-learn |\n|---|---|---|---:|---:|")
    for table in tables.generated() + ([tables.german_credit(german)] if german else []):
        for algorithm in program.ALGORITHMS:
            with tempfile.TemporaryDirectory() as folder:
                ours, theirs = compare(table, algorithm, Path(folder)).means(table.classes)
            figure = "ROC AUC" if table.classes else "RMSE"
            print(f"| {table.name} | {algorithm} | {figure} | {ours:.4f} | {theirs:.4f} |", flush=True)
    if not german:
        print("AIGATE_GERMAN_CREDIT is not set: German Credit was left out", file=sys.stderr)


if __name__ == "__main__":
    main()
