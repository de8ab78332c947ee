"""Each figure that `aigate model evaluate` prints is the one that scikit-learn or scipy gives of the same scores."""

from collections.abc import Callable

import numpy
import pytest
import sklearn.metrics as metrics
from numpy import ndarray
from scipy.stats import ks_2samp
from sklearn.calibration import calibration_curve

#: Of outcomes and scores.
RANKING: dict[str, Callable[[ndarray, ndarray], float]] = {
    "roc_auc": metrics.roc_auc_score,
    "pr_auc": metrics.average_precision_score,
    "log_loss": metrics.log_loss,
    "brier": metrics.brier_score_loss,
    "ks": lambda outcome, scores: ks_2samp(scores[outcome == 1], scores[outcome == 0]).statistic,
}

#: Of outcomes and decisions.
DECISIONS: dict[str, Callable[[ndarray, ndarray], float]] = {
    "accuracy": metrics.accuracy_score,
    "precision": metrics.precision_score,
    "recall": metrics.recall_score,
    "f1": metrics.f1_score,
}

#: Of outcomes and predicted numbers.
NUMBERS: dict[str, Callable[[ndarray, ndarray], float]] = {
    "rmse": metrics.root_mean_squared_error,
    "mae": metrics.mean_absolute_error,
    "r2": metrics.r2_score,
}

EXACT = {"rel": 0, "abs": 1e-6}


def test_every_figure_is_scikit_learn_s(table, compared):
    outcome, scores = compared.outcome, numpy.array([row["score"] for row in compared.explained])
    if table.classes:
        are_of_classes(compared.figures, outcome, scores)
    else:
        for name, figure in NUMBERS.items():
            assert compared.figures[name]["value"] == pytest.approx(figure(outcome, scores), **EXACT), name


def are_of_classes(figures: dict, outcome: ndarray, scores: ndarray) -> None:
    for name, figure in RANKING.items():
        assert figures[name]["value"] == pytest.approx(figure(outcome, scores), **EXACT), name
    decisions = (scores >= figures["threshold"]).astype(int)
    for name, figure in DECISIONS.items():
        assert figures[name]["value"] == pytest.approx(figure(outcome, decisions), **EXACT), name
    words = ["true_negatives", "false_positives", "false_negatives", "true_positives"]
    assert [figures["confusion"][word] for word in words] == metrics.confusion_matrix(outcome, decisions).ravel().tolist()
    precision, recall, _ = metrics.precision_recall_curve(outcome, scores)
    best = max(2 * p * r / (p + r) for p, r in zip(precision, recall, strict=True) if p + r > 0)
    assert figures["best_f1"]["value"] == pytest.approx(best, **EXACT)
    is_calibration(figures["calibration"], outcome, scores)


def is_calibration(calibration: dict, outcome: ndarray, scores: ndarray) -> None:
    observed, predicted = calibration_curve(outcome, scores, n_bins=10, strategy="uniform")
    assert [part["mean_outcome"] for part in calibration["bins"]] == pytest.approx(observed, **EXACT)
    assert [part["mean_score"] for part in calibration["bins"]] == pytest.approx(predicted, **EXACT)
