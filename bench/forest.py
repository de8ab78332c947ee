#!/usr/bin/env python3
"""How long a random forest takes: aigate beside scikit-learn, on the same table and cores.

    AIGATE_BIN=target/release/aigate VENV/bin/python bench/forest.py [--rows 30000] [--trees 300] [--threads N] [--rounds 1]

Both read the same CSV file, cross-validate on five folds and fit all rows. aigate's time is that of the whole command, with
cleaning, 1,000 bootstrap draws and the model file; scikit-learn's is without starting Python and importing. Besides its
defaults (leaves of one row) scikit-learn runs with aigate's least leaf, 5. VENV has tests/clients/inference/requirements.txt.
CPU time (user and system) depends least on what else the machine does; the ratios of wall-clock time need a quiet one.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy
import pandas
import sklearn
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score

COLUMNS = 25
FOLDS = 5


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.csv"
        table(options.rows).to_csv(data, index=False)
        sides = {
            "aigate": lambda: ours(options, data, Path(folder) / "model.json"),
            "scikit-learn, leaves of 5": lambda: theirs(options, data, leaf=5),
            "scikit-learn, its defaults": lambda: theirs(options, data, leaf=1),
        }
        taken = {name: [] for name in sides}
        for _ in range(options.rounds):
            for name, side in sides.items():
                taken[name].append(timed(side))
    show(options, {name: [statistics.median(column) for column in zip(*runs)] for name, runs in taken.items()})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=1)
    return parser.parse_args()


def table(rows: int) -> pandas.DataFrame:
    """Numbers, of which ten matter, two of them together."""
    draw = numpy.random.default_rng(0)
    x = draw.standard_normal((rows, COLUMNS))
    logit = x[:, :8] @ numpy.linspace(0.8, 0.1, 8) + x[:, 8] * x[:, 9] - 1.0
    outcome = (draw.random(rows) < 1.0 / (1.0 + numpy.exp(-logit))).astype(int)
    return pandas.DataFrame(x, columns=[f"x{at + 1}" for at in range(COLUMNS)]).assign(outcome=outcome)


def ours(options: argparse.Namespace, data: Path, model: Path) -> float:
    subprocess.run(
        [
            os.environ["AIGATE_BIN"], "model", "train", "--algorithm", "forest", "--data", data, "--target", "outcome",
            "--trees", str(options.trees), "--threads", str(options.threads), "--folds", str(FOLDS), "--out", model,
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return json.loads(model.read_text())["model"]["comparison"][0]["mean"]


def theirs(options: argparse.Namespace, data: Path, leaf: int) -> float:
    read = pandas.read_csv(data)
    x, y = read.drop(columns="outcome"), read["outcome"]
    forest = RandomForestClassifier(options.trees, min_samples_leaf=leaf, n_jobs=options.threads, random_state=0)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    area = float(cross_val_score(forest, x, y, cv=folds, scoring="roc_auc").mean())
    forest.fit(x, y)
    return area


def timed(side: Callable[[], float]) -> tuple[float, float, float]:
    """Wall-clock seconds, CPU seconds, area under the ROC curve."""
    start, worked = time.perf_counter(), cpu()
    area = side()
    return time.perf_counter() - start, cpu() - worked, area


def cpu() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def show(options: argparse.Namespace, medians: dict[str, list[float]]) -> None:
    version = subprocess.run([os.environ["AIGATE_BIN"], "--version"], check=True, capture_output=True, text=True).stdout
    print(
        f"{options.rows:,} rows x {COLUMNS} columns, {options.trees} trees, {FOLDS} folds and a fit, {options.threads} threads, "
        f"medians of {options.rounds} rounds; {version.strip()}, scikit-learn {sklearn.__version__}, numpy {numpy.__version__}, "
        f"Python {platform.python_version()}, kernel {platform.release()}\n"
    )
    print("| | wall s | CPU s | aigate's share of the wall time | of the CPU time | ROC AUC |\n|---|---:|---:|---:|---:|---:|")
    wall, work, _ = medians["aigate"]
    for name, (seconds, cpu_seconds, area) in medians.items():
        print(
            f"| {name} | {seconds:.1f} | {cpu_seconds:.1f} | {wall / seconds:.2f} | {work / cpu_seconds:.2f} | {area:.4f} |"
        )


if __name__ == "__main__":
    main()
