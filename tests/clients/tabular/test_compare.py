"""What aigate learns is worth no less than what scikit-learn learns from the same rows."""

import numpy
import program
import pytest
from conftest import GENERATED, GERMAN_CREDIT
from sklearn.metrics import roc_auc_score, root_mean_squared_error

#: The algorithm whose law a generated table follows, or that comes closest to it; and how much of the area, or how large a
#: share of the error, it may be short of the law itself.
LAWS = {
    "odds": ("linear", 0.02),
    "corners": ("boosting", 0.06),
    "gaps": ("linear", 0.06),
    "plane": ("linear", 0.05),
    "friedman": ("boosting", 0.75),
}


def test_no_algorithm_is_worse_than_scikit_learn_s(table, compared):
    ours, theirs = compared.means(table.classes)
    if table.classes:
        assert ours >= theirs - 0.01
    else:
        assert ours <= theirs * 1.01


@pytest.mark.parametrize("algorithm", ["linear", "svm"], scope="session")
def test_the_same_mathematics_gives_the_same_area_in_each_fold(table, compared):
    if not table.classes:
        pytest.skip("about classes")
    (theirs,) = compared.theirs
    numpy.testing.assert_allclose(compared.ours, theirs, rtol=0, atol=0.002)


@pytest.mark.parametrize("algorithm", ["linear"], scope="session")
def test_linear_models_give_each_row_the_score_that_scikit_learn_gives(table, compared):
    ours = [row["score"] for row in compared.explained]
    spread = 1.0 if table.classes else table.outcome.std()
    numpy.testing.assert_allclose(ours, compared.their_scores, rtol=0, atol=1e-4 * spread)


@pytest.mark.parametrize("name", LAWS)
def test_the_law_behind_a_generated_table_is_nearly_reached(name, comparisons):
    algorithm, short = LAWS[name]
    table = GENERATED[name]
    ours = numpy.mean(comparisons(table, algorithm).ours)
    if table.classes:
        assert ours >= law(table) - short
    else:
        assert ours <= law(table) * (1 + short)


def test_no_algorithm_knows_more_than_the_law(table, compared):
    """It would have seen the test rows."""
    if table.truth is None:
        pytest.skip("nobody knows its law")
    if table.classes:
        assert numpy.mean(compared.ours) <= law(table) + 0.01
    else:
        assert numpy.mean(compared.ours) >= law(table) * 0.98


def test_the_automatic_choice_on_german_credit_is_a_forest_that_reaches_0_79(german_credit, tmp_path):
    out = tmp_path / "auto.json"
    model = program.train(GERMAN_CREDIT, german_credit.target, "auto", out, folds=5, trees=german_credit.trees)
    assert model["algorithm"] == "forest"
    means = {candidate["algorithm"]: candidate["mean"] for candidate in model["comparison"]}
    assert means["forest"] >= 0.79


def test_a_forest_reaches_0_79_on_scikit_learn_s_folds_of_german_credit(german_credit, comparisons):
    assert numpy.mean(comparisons(german_credit, "forest").ours) >= 0.79


def law(table) -> float:
    """The mean figure of the law itself on the test rows."""
    measure = roc_auc_score if table.classes else root_mean_squared_error
    return float(numpy.mean([measure(table.outcome[unseen], table.truth[unseen]) for _, unseen in table.folds()]))
