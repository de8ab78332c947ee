"""The tables that both sides learn from: generated ones, whose truth is known, and German Credit."""

from dataclasses import dataclass

import numpy
import pandas
from sklearn.model_selection import KFold, StratifiedKFold

ROWS = 800


@dataclass(frozen=True)
class Table:
    name: str
    data: pandas.DataFrame
    target: str
    #: Whether the target is 0 or 1.
    classes: bool
    #: For each row what the target's law says: the probability of 1, or the number without its noise.
    truth: numpy.ndarray | None = None
    #: How many trees both sides' forests have.
    trees: int = 100

    @property
    def inputs(self) -> pandas.DataFrame:
        return self.data.drop(columns=self.target)

    @property
    def outcome(self) -> numpy.ndarray:
        return self.data[self.target].to_numpy()

    def folds(self) -> list[tuple[numpy.ndarray, numpy.ndarray]]:
        """The training and test rows of five folds."""
        kind = StratifiedKFold if self.classes else KFold
        return list(kind(n_splits=5, shuffle=True, random_state=0).split(self.inputs, self.outcome))


def generated() -> list[Table]:
    return [odds(), corners(), gaps(), plane(), friedman()]


def german_credit(path: str) -> Table:
    data = pandas.read_csv(path, keep_default_na=False)
    return Table("german-credit", data, "default", classes=True, trees=300)


def odds() -> Table:
    """The logarithm of the odds is a sum over the inputs: the law of logistic regression."""
    draw = numpy.random.default_rng(1)
    inputs = numbers(draw, 6)
    inputs["colour"] = draw.choice(["red", "green", "blue"], ROWS)
    steps = inputs["colour"].map({"red": 1.0, "green": 0.0, "blue": -1.0})
    return classes("odds", draw, inputs, 1.2 * inputs["x1"] - 0.8 * inputs["x2"] + 0.5 * inputs["x3"] + steps)


def corners() -> Table:
    """What one input says depends on the sign of another: no sum over the inputs tells the outcome."""
    draw = numpy.random.default_rng(2)
    inputs = numbers(draw, 5)
    inputs["side"] = draw.choice(["left", "right"], ROWS)
    signs = numpy.sign(inputs["x1"] * inputs["x2"])
    return classes("corners", draw, inputs, 1.5 * signs + numpy.where(inputs["side"] == "left", 0.7, -0.7))


def gaps() -> Table:
    """One row in eight is positive, values are missing, and one category has many rare levels."""
    draw = numpy.random.default_rng(3)
    inputs = numbers(draw, 4)
    inputs["x4"] = numpy.exp(2.0 * inputs["x4"])
    inputs["shop"] = draw.choice([f"shop-{at}" for at in range(30)], ROWS, p=harmonic(30))
    inputs["region"] = draw.choice(["north", "south", "east"], ROWS)
    shops = numpy.where(inputs["shop"].isin(["shop-0", "shop-3"]), 1.0, -0.5)
    logit = -2.5 + 1.1 * inputs["x1"] + 0.9 * (inputs["x2"] > 0.5) + shops
    inputs.loc[draw.random(ROWS) < 0.15, "x1"] = numpy.nan
    inputs.loc[draw.random(ROWS) < 0.10, "region"] = numpy.nan
    return classes("gaps", draw, inputs, logit)


def plane() -> Table:
    """A sum over the inputs and noise: the law of linear regression."""
    draw = numpy.random.default_rng(4)
    inputs = numbers(draw, 6)
    inputs["size"] = draw.choice(["s", "m", "l"], ROWS)
    truth = 20.0 + 3.0 * inputs["x1"] - 2.0 * inputs["x2"] + inputs["size"].map({"s": -4.0, "m": 0.0, "l": 4.0})
    return measured("plane", draw, inputs, truth.to_numpy(), noise=1.5)


def friedman() -> Table:
    """Friedman's first function (1991): a product, a square and a sum, beside inputs that say nothing."""
    draw = numpy.random.default_rng(5)
    x = draw.random((ROWS, 7))
    inputs = pandas.DataFrame(x, columns=[f"x{at + 1}" for at in range(7)])
    truth = 10 * numpy.sin(numpy.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return measured("friedman", draw, inputs, truth, noise=1.0)


def numbers(draw: numpy.random.Generator, columns: int) -> pandas.DataFrame:
    return pandas.DataFrame({f"x{at + 1}": draw.standard_normal(ROWS) for at in range(columns)})


def harmonic(count: int) -> numpy.ndarray:
    """Shares of 1, 1/2, 1/3, …"""
    parts = 1.0 / numpy.arange(1, count + 1)
    return parts / parts.sum()


def classes(name: str, draw: numpy.random.Generator, inputs: pandas.DataFrame, logit: pandas.Series) -> Table:
    truth = 1.0 / (1.0 + numpy.exp(-logit.to_numpy()))
    outcome = (draw.random(ROWS) < truth).astype(int)
    return Table(name, inputs.assign(outcome=outcome), "outcome", classes=True, truth=truth)


def measured(
    name: str, draw: numpy.random.Generator, inputs: pandas.DataFrame, truth: numpy.ndarray, noise: float
) -> Table:
    outcome = truth + noise * draw.standard_normal(ROWS)
    return Table(name, inputs.assign(outcome=outcome), "outcome", classes=False, truth=truth)
