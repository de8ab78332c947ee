"""`tritonclient[http]`."""

import numpy
import pytest
import tritonclient.http as triton
from conftest import HEADERS, HOST
from tritonclient.utils import InferenceServerException


@pytest.fixture(scope="module")
def client():
    with triton.InferenceServerClient(url=HOST) as client:
        yield client


def inputs(arrays, datatypes, binary):
    made = []
    for name, array in arrays.items():
        tensor = triton.InferInput(name, list(array.shape), datatypes[name])
        tensor.set_data_from_numpy(array, binary_data=binary)
        made.append(tensor)
    return made


def test_the_server_and_each_model_are_live_and_ready(client, model):
    assert client.is_server_live(headers=dict(HEADERS))
    assert client.is_server_ready(headers=dict(HEADERS))
    assert client.is_model_ready(model, headers=dict(HEADERS))
    assert client.get_server_metadata(headers=dict(HEADERS))["name"] == "aigate"


def test_metadata_names_versions_and_tensors(client, model, datatypes):
    metadata = client.get_model_metadata(model, headers=dict(HEADERS))
    assert metadata["name"] == model
    assert len(metadata["versions"]) == 1
    assert metadata["platform"]
    assert {tensor["name"]: tensor["datatype"] for tensor in metadata["inputs"]} == datatypes
    assert metadata["outputs"][0] == {"name": "score", "datatype": "FP64", "shape": [-1]}
    version = metadata["versions"][0]
    assert client.get_model_metadata(model, model_version=version, headers=dict(HEADERS))["name"] == model
    assert client.is_model_ready(model, model_version=version, headers=dict(HEADERS))


@pytest.mark.parametrize("binary_in", [False, True], ids=["json-in", "binary-in"])
@pytest.mark.parametrize("binary_out", [False, True], ids=["json-out", "binary-out"])
def test_every_deployment_gives_the_same_scores(client, model, arrays, datatypes, expected, binary_in, binary_out):
    outputs = [triton.InferRequestedOutput("score", binary_data=binary_out)]
    result = client.infer(
        model, inputs(arrays, datatypes, binary_in), outputs=outputs, request_id="7", headers=dict(HEADERS)
    )
    scores = result.as_numpy("score")
    assert scores.dtype == numpy.float64
    assert scores.shape == (2,)
    numpy.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)
    response = result.get_response()
    assert response["id"] == "7"
    assert response["model_name"] == model
    assert response["model_version"]


def test_outputs_come_unasked_and_then_as_binary_data(client, model, arrays, datatypes, expected):
    result = client.infer(model, inputs(arrays, datatypes, True), headers=dict(HEADERS))
    numpy.testing.assert_allclose(result.as_numpy("score"), expected, rtol=0, atol=1e-12)


def test_a_version_can_be_insisted_on(client, model, arrays, datatypes):
    version = client.get_model_metadata(model, headers=dict(HEADERS))["versions"][0]
    tensors = inputs(arrays, datatypes, True)
    result = client.infer(model, tensors, model_version=version, headers=dict(HEADERS))
    assert result.get_response()["model_version"] == version
    with pytest.raises(InferenceServerException, match="has no version `nine`"):
        client.infer(model, tensors, model_version="nine", headers=dict(HEADERS))


def test_contributions_add_up_to_the_raw_score(client, arrays, datatypes):
    wanted = ["score", "raw_score", "base", "contributions", "reason_codes"]
    outputs = [triton.InferRequestedOutput(name) for name in wanted]
    result = client.infer("credit-local", inputs(arrays, datatypes, True), outputs=outputs, headers=dict(HEADERS))
    contributions = result.as_numpy("contributions")
    assert contributions.shape == (2, len(arrays))
    total = result.as_numpy("base") + contributions.sum(axis=1)
    numpy.testing.assert_allclose(total, result.as_numpy("raw_score"), rtol=0, atol=1e-6)
    assert result.as_numpy("reason_codes").shape == (2, 4)


def test_a_missing_an_unknown_and_a_misnamed_input_are_named(client, model, arrays, datatypes):
    tensors = inputs(arrays, datatypes, True)
    gone = tensors[0].name()
    with pytest.raises(InferenceServerException, match=f"missing: `{gone}`"):
        client.infer(model, tensors[1:], headers=dict(HEADERS))
    extra = triton.InferInput("shoe_size", [2], "INT64")
    extra.set_data_from_numpy(numpy.array([1, 2]))
    with pytest.raises(InferenceServerException, match="no input `shoe_size`"):
        client.infer(model, [*tensors, extra], headers=dict(HEADERS))


def test_wrong_datatypes_shapes_and_numbers_name_the_tensor(client, model, arrays, datatypes):
    name = next(name for name, kind in datatypes.items() if kind == "INT64")

    def ask(array, kind):
        tensors = [tensor for tensor in inputs(arrays, datatypes, True) if tensor.name() != name]
        wrong = triton.InferInput(name, list(array.shape), kind)
        wrong.set_data_from_numpy(array)
        client.infer(model, [*tensors, wrong], headers=dict(HEADERS))

    with pytest.raises(InferenceServerException, match=f"`{name}`: its datatype is FP32, expected INT64"):
        ask(numpy.array([1.5, 2.5], dtype=numpy.float32), "FP32")
    with pytest.raises(InferenceServerException, match=f"`{name}`: its shape is"):
        ask(numpy.array([[1, 2], [3, 4]]), "INT64")
    with pytest.raises(InferenceServerException, match="rows where the first input has"):
        ask(numpy.array([1, 2, 3]), "INT64")
    # Narrower whole numbers lose nothing.
    ask(numpy.array([24, 36], dtype=numpy.int32), "INT32")


def test_an_unknown_model_is_a_404(client, arrays, datatypes):
    with pytest.raises(InferenceServerException) as caught:
        client.infer("credit-locale", inputs(arrays, datatypes, True), headers=dict(HEADERS))
    assert caught.value.status() == "404"
    assert "did you mean" in caught.value.message()


def test_without_a_key_nobody_is_let_in(client, model):
    with pytest.raises(InferenceServerException) as caught:
        client.get_model_metadata(model)
    assert caught.value.status() == "401"
