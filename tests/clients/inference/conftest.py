"""aigate judged by the Triton and KServe clients for Python, unchanged.

`cargo xtask test` runs this suite against a gateway with one predict model for each kind of deployment:

    AIGATE_URL=127.0.0.1:4000 AIGATE_KEY=... AIGATE_MODELS=credit-local,credit-sagemaker-csv,... \\
        VENV/bin/python -B -m pytest tests/clients/inference

Every model takes the inputs of the sample `credit-risk` and gives the same scores, whatever form its deployment speaks: the
simulated clouds serve the same file as the local model.
"""

import json
import os
import urllib.request

import numpy
import pytest

MODELS = os.environ["AIGATE_MODELS"].split(",")
HOST = os.environ["AIGATE_URL"]
KEY = os.environ["AIGATE_KEY"]
HEADERS = {"Authorization": f"Bearer {KEY}"}

NUMPY = {"INT64": numpy.int64, "FP64": numpy.float64, "BYTES": numpy.object_}


def get(path: str) -> dict:
    request = urllib.request.Request(f"http://{HOST}{path}", headers=HEADERS)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def rows() -> list[dict]:
    """Two applicants who differ in everything that matters."""
    first = json.loads(os.environ["AIGATE_SAMPLE_ROW"])
    second = dict(first)
    second.update(json.loads(os.environ["AIGATE_OTHER_ROW"]))
    return [first, second]


def columns() -> dict[str, numpy.ndarray]:
    """The inputs of the models, one array for each."""
    inputs = get(f"/v2/models/{MODELS[0]}")["inputs"]
    return {
        tensor["name"]: numpy.array([row[tensor["name"]] for row in rows()], dtype=NUMPY[tensor["datatype"]])
        for tensor in inputs
    }


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def datatypes() -> dict[str, str]:
    return {tensor["name"]: tensor["datatype"] for tensor in get(f"/v2/models/{MODELS[0]}")["inputs"]}


@pytest.fixture(scope="session")
def arrays() -> dict[str, numpy.ndarray]:
    return columns()


@pytest.fixture(scope="session")
def expected(arrays: dict[str, numpy.ndarray]) -> list[float]:
    """The scores of the local model, asked with plain JSON."""
    body = {
        "inputs": [
            {
                "name": name,
                "shape": [len(array)],
                "datatype": {"i": "INT64", "f": "FP64", "O": "BYTES"}[array.dtype.kind],
                "data": array.tolist(),
            }
            for name, array in arrays.items()
        ]
    }
    request = urllib.request.Request(
        f"http://{HOST}/v2/models/credit-local/infer",
        data=json.dumps(body).encode(),
        headers={**HEADERS, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)["outputs"][0]["data"]
