"""aigate's training, measuring and explaining judged by scikit-learn.

`cargo xtask test` runs this suite; by hand:

    AIGATE_BIN=target/debug/aigate AIGATE_GERMAN_CREDIT=german-credit.csv VENV/bin/python -B -m pytest tests/clients/tabular

`AIGATE_GERMAN_CREDIT` may be left out or empty: then German Credit's tests are skipped.
"""

import os

import pytest
import tables
from compare import Compared, compare
from program import ALGORITHMS
from tables import Table

GERMAN_CREDIT = os.environ.get("AIGATE_GERMAN_CREDIT")
LEFT_OUT = "AIGATE_GERMAN_CREDIT is not set: the file is not there"

GENERATED = {table.name: table for table in tables.generated()}


@pytest.fixture(scope="session", params=[*GENERATED, "german-credit"])
def table(request: pytest.FixtureRequest) -> Table:
    return GENERATED.get(request.param) or german()


@pytest.fixture(scope="session", params=ALGORITHMS)
def algorithm(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def compared(table: Table, algorithm: str, comparisons) -> Compared:
    return comparisons(table, algorithm)


@pytest.fixture(scope="session")
def comparisons(tmp_path_factory: pytest.TempPathFactory):
    """Both sides on a table's folds; each algorithm is run once on a table."""
    done = {}

    def of(table: Table, algorithm: str) -> Compared:
        if (table.name, algorithm) not in done:
            folder = tmp_path_factory.mktemp(f"{table.name}-{algorithm}-")
            done[table.name, algorithm] = compare(table, algorithm, folder)
        return done[table.name, algorithm]

    return of


@pytest.fixture(scope="session")
def german_credit() -> Table:
    return german()


def german() -> Table:
    if not GERMAN_CREDIT:
        pytest.skip(LEFT_OUT)
    return tables.german_credit(GERMAN_CREDIT)
