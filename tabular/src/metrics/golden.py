"""Writes golden.json beside it: what scikit-learn and scipy say about the cases that golden.rs reads.

Run by hand after a change of the cases: python3 golden.py (scikit-learn 1.9, scipy 1.17, numpy 2.4). A figure that is
undefined there (a warning, NaN, or an error) is null.
"""

import json
import pathlib
import warnings

import numpy as np
from scipy.stats import ks_2samp
from sklearn import calibration, metrics

warnings.simplefilter("error")
random = np.random.default_rng(20240607)


def defined(figure):
    try:
        value = figure()
    except (ValueError, Warning):
        return None
    return float(value) if np.isfinite(value) else None


def reliability(outcome, scores, bins, strategy):
    if scores.min() < 0 or scores.max() > 1:
        return None
    observed, predicted = calibration.calibration_curve(outcome, scores, n_bins=bins, strategy=strategy)
    edges = np.linspace(0, 1, bins + 1)
    if strategy == "quantile":
        edges = np.percentile(scores, edges * 100)
    rows = np.bincount(np.searchsorted(edges[1:-1], scores), minlength=bins)
    rows = rows[rows > 0]
    error = np.sum(rows * np.abs(predicted - observed)) / len(scores)
    return {
        "rows": rows.tolist(),
        "mean_score": predicted.tolist(),
        "mean_outcome": observed.tolist(),
        "error": float(error),
    }


def curves(outcome, scores):
    if len(set(outcome)) < 2:
        return None, None
    fpr, tpr, cuts = metrics.roc_curve(outcome, scores)
    roc = [[a, b, c if np.isfinite(c) else None] for a, b, c in zip(fpr.tolist(), tpr.tolist(), cuts.tolist())]
    precision, recall, cuts = metrics.precision_recall_curve(outcome, scores)
    pr = zip(recall.tolist()[::-1], precision.tolist()[::-1], [None, *cuts.tolist()[::-1]])
    return roc, [list(point) for point in pr]


def classes(name, outcome, scores, threshold=0.5):
    y, s = np.asarray(outcome, dtype=float), np.asarray(scores, dtype=float)
    decided = (s >= threshold).astype(float)
    tn, fp, fn, tp = metrics.confusion_matrix(y, decided, labels=[0, 1]).ravel().tolist()
    roc, pr = curves(y, s)
    return {
        "name": name,
        "outcome": y.tolist(),
        "scores": s.tolist(),
        "threshold": threshold,
        "roc_auc": defined(lambda: metrics.roc_auc_score(y, s)),
        "pr_auc": defined(lambda: metrics.average_precision_score(y, s)),
        "ks": defined(lambda: ks_2samp(s[y == 1], s[y == 0], method="exact").statistic),
        "log_loss": defined(lambda: metrics.log_loss(y, s, labels=[0, 1])),
        "brier": defined(lambda: metrics.brier_score_loss(y, s, labels=[0, 1], pos_label=1)),
        "confusion": {"true_positives": tp, "false_positives": fp, "true_negatives": tn, "false_negatives": fn},
        "accuracy": defined(lambda: metrics.accuracy_score(y, decided)),
        "precision": defined(lambda: metrics.precision_score(y, decided, zero_division=np.nan)),
        "recall": defined(lambda: metrics.recall_score(y, decided, zero_division=np.nan)),
        "f1": defined(lambda: metrics.f1_score(y, decided, zero_division=np.nan)),
        "roc": roc,
        "pr": pr,
        "width_10": reliability(y, s, 10, "uniform"),
        "width_7": reliability(y, s, 7, "uniform"),
        "quantile_10": reliability(y, s, 10, "quantile"),
        "quantile_3": reliability(y, s, 3, "quantile"),
    }


def numbers(name, outcome, scores):
    y, s = np.asarray(outcome, dtype=float), np.asarray(scores, dtype=float)
    return {
        "name": name,
        "outcome": y.tolist(),
        "scores": s.tolist(),
        "rmse": defined(lambda: metrics.root_mean_squared_error(y, s)),
        "mae": defined(lambda: metrics.mean_absolute_error(y, s)),
        "r2": defined(lambda: metrics.r2_score(y, s, force_finite=False)),
    }


def drawn(rows, rate, strength, digits):
    outcome = (random.random(rows) < rate).astype(float)
    odds = random.normal(size=rows) + strength * (outcome - 0.5)
    return outcome, np.round(1 / (1 + np.exp(-odds)), digits)


tenths = np.arange(31) % 11 / 10
cases = [
    classes("random", *drawn(40, 0.4, 1.5, 6)),
    classes("random with many ties", *drawn(60, 0.5, 1.0, 1)),
    classes("rare positives", *drawn(120, 0.08, 2.0, 4), threshold=0.7),
    classes("worse than chance", *drawn(50, 0.5, -1.5, 3), threshold=0.3),
    classes("scores on the edges of bins", (np.arange(31) % 3 == 0).astype(float), tenths, threshold=0.3),
    classes("constant scores", [1, 0, 0, 1, 0], [0.5] * 5),
    classes("constant scores below the threshold", [1, 0, 0, 1, 0], [0.25] * 5),
    classes("all positive", [1, 1, 1], [0.2, 0.6, 0.6]),
    classes("all negative", [0, 0, 0], [0.2, 0.6, 0.6]),
    classes("one row", [1], [0.7]),
    classes("two rows", [0, 1], [0.1, 0.9]),
    classes("three rows", [0, 1, 1], [0.6, 0.6, 0.4]),
    classes("perfect separation", [0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.8, 0.9]),
    classes("perfectly wrong", [1, 1, 1, 0, 0], [0.1, 0.2, 0.3, 0.8, 0.9]),
    classes("exactly 0 and 1, right", [0, 0, 1, 1], [0, 0, 1, 1]),
    classes("exactly 0 and 1, some wrong", [0, 1, 1, 0, 1], [0, 0, 1, 1, 1]),
    classes("all decided negative", [0, 1, 1, 0], [0.1, 0.2, 0.3, 0.4], threshold=0.9),
    classes("decision values", [0, 1, 1, 0, 1], [-2.5, 0.5, 3.25, 0.5, -0.75], threshold=0.0),
    classes("very small scores", [0, 1, 0, 1, 0], [1e-300, 2e-17, 1e-17, 1e-9, 0.0], threshold=1e-17),
]
grades = np.round(random.normal(50, 12, 40), 3)
regressions = [
    numbers("random", grades, np.round(grades + random.normal(0, 6, 40), 3)),
    numbers("unrelated", grades, np.round(random.normal(50, 12, 40), 3)),
    numbers("perfect", [1.5, 2.5, 4], [1.5, 2.5, 4]),
    numbers("constant outcome", [3, 3, 3], [3, 4, 2]),
    numbers("constant scores", [1, 2, 6], [3, 3, 3]),
    numbers("one row", [2], [5]),
    numbers("far from zero", [1e9 + 1, 1e9 + 2, 1e9 + 4], [1e9 + 1.5, 1e9 + 2.5, 1e9 + 3.5]),
]


def lines(values):
    return "[\n" + ",\n".join(json.dumps(value) for value in values) + "\n]"


out = pathlib.Path(__file__).with_name("golden.json")
out.write_text('{"classes": ' + lines(cases) + ',\n"numbers": ' + lines(regressions) + "}\n")
