"""The program under test, run as a person runs it."""

import json
import os
import subprocess
from pathlib import Path

import pandas

PROGRAM = os.environ["AIGATE_BIN"]
ALGORITHMS = ["linear", "svm", "tree", "forest", "boosting"]


def run(*words: str | Path) -> str:
    done = subprocess.run([PROGRAM, "model", *map(str, words)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"aigate model {' '.join(map(str, words))}\n{done.stderr}"
    return done.stdout


def train(data: Path, target: str, algorithm: str, out: Path, folds: int, trees: int) -> dict:
    """The model file's content."""
    run(
        "train", "--algorithm", algorithm, "--seed", "0", "--folds", str(folds), "--trees", str(trees),
        "--data", data, "--target", target, "--out", out,
    )  # fmt: skip
    return json.loads(out.read_text())["model"]


def evaluate(model: Path, data: Path) -> dict:
    """The figures of the model's scores, without intervals."""
    out = run("evaluate", "--artefact", model, "--data", data, "--json", "--resamples", "0")
    (system,) = json.loads(out)["systems"]
    assert system["evaluation"]["left_out"] == 0
    return system["evaluation"]["figures"]


def explain(model: Path, data: Path) -> list[dict]:
    """What each row's score is made of."""
    rows = [word for row in range(len(pandas.read_csv(data))) for word in ("--row", str(row + 1))]
    return json.loads(run("explain", "--model", model, "--data", data, "--json", *rows))["rows"]
