"""What `aigate model explain` says a score is made of adds up to it."""

import json
import math


def test_contributions_and_their_base_add_up_to_the_raw_score(compared):
    assert len(compared.explained) == len(compared.outcome)
    for row in compared.explained:
        assert abs(row["base"] + sum(row["contributions"]) - row["raw_score"]) <= 1e-6
        assert row["exact"], "tables of up to 128 features are explained without approximation"


def test_the_score_is_the_raw_score_through_the_model_s_link(compared):
    link = json.loads(compared.model.read_text())["model"]["model"]["link"]
    through = {"identity": lambda raw: raw, "logistic": lambda raw: 1.0 / (1.0 + math.exp(-raw))}[link]
    for row in compared.explained:
        assert math.isclose(row["score"], through(row["raw_score"]), rel_tol=1e-9, abs_tol=1e-12)
