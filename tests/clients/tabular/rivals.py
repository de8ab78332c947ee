"""scikit-learn's pipelines, fed as aigate feeds its own algorithms: rare levels share a column, missing numbers are the
median and are marked, and numbers have mean 0 and deviation 1.

Where scikit-learn has two ways (boosting) or a default that aigate does not follow (leaf sizes), both are here, and the
better one is the one to reach.
"""

from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from threadpoolctl import threadpool_limits

# On tables this small, threads that wait for each other take longer than the work.
threadpool_limits(limits=1)

CLASSES = {
    "linear": lambda _: [LogisticRegression(tol=1e-8, max_iter=10_000)],
    "svm": lambda _: [SVC()],
    "tree": lambda _: [
        DecisionTreeClassifier(random_state=0),
        DecisionTreeClassifier(min_samples_leaf=20, max_depth=10, random_state=0),
    ],
    "forest": lambda trees: [RandomForestClassifier(trees, n_jobs=-1, random_state=0)],
    "boosting": lambda _: [GradientBoostingClassifier(random_state=0), HistGradientBoostingClassifier(random_state=0)],
}

NUMBERS = {
    "linear": lambda _: [LinearRegression()],
    "svm": lambda _: [TransformedTargetRegressor(SVR(), transformer=StandardScaler())],
    "tree": lambda _: [
        DecisionTreeRegressor(random_state=0),
        DecisionTreeRegressor(min_samples_leaf=20, max_depth=10, random_state=0),
    ],
    "forest": lambda trees: [RandomForestRegressor(trees, n_jobs=-1, random_state=0)],
    "boosting": lambda _: [GradientBoostingRegressor(random_state=0), HistGradientBoostingRegressor(random_state=0)],
}


def rivals(algorithm: str, classes: bool, rows: int, trees: int) -> list[Pipeline]:
    """Pipelines to be fitted on so many rows, forests with so many trees."""
    models = (CLASSES if classes else NUMBERS)[algorithm](trees)
    return [make_pipeline(encoder(rows), model) for model in models]


def encoder(rows: int):
    numbers = make_column_selector(dtype_include="number")
    words = make_column_selector(dtype_exclude="number")
    rare = min(max(rows // 200, 2), 20)
    return make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        (MissingIndicator(error_on_new=False), numbers),
        (OneHotEncoder(min_frequency=rare, handle_unknown="infrequent_if_exist", sparse_output=False), words),
    )


def scores(fitted: Pipeline, inputs) -> list[float]:
    """What rows are ranked by, or the numbers predicted for them."""
    if hasattr(fitted, "predict_proba"):
        return fitted.predict_proba(inputs)[:, 1]
    return fitted.decision_function(inputs) if hasattr(fitted, "decision_function") else fitted.predict(inputs)
