"""KServe's `InferenceRESTClient`."""

import asyncio

import httpx
import numpy
import pytest
from conftest import HEADERS, HOST
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

BASE = f"http://{HOST}"


def ask(coroutine):
    async def run():
        async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0, timeout=10)) as client:
            return await coroutine(client)

    return asyncio.run(run())


def request(model, arrays, datatypes, binary):
    inputs = []
    for name, array in arrays.items():
        tensor = InferInput(name=name, shape=list(array.shape), datatype=datatypes[name])
        tensor.set_data_from_numpy(array, binary_data=binary)
        inputs.append(tensor)
    return InferRequest(model_name=model, infer_inputs=inputs, request_id="k-1")


def test_the_server_and_each_model_are_live_and_ready(model):
    assert ask(lambda client: client.is_server_live(BASE, headers=dict(HEADERS)))
    assert ask(lambda client: client.is_server_ready(BASE, headers=dict(HEADERS)))
    assert ask(lambda client: client.is_model_ready(BASE, model, headers=dict(HEADERS)))


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_every_deployment_gives_the_same_scores(model, arrays, datatypes, expected, binary):
    response = ask(
        lambda client: client.infer(
            BASE, request(model, arrays, datatypes, binary), headers=dict(HEADERS), model_name=model
        )
    )
    assert response.id == "k-1"
    assert response.model_name == model
    score = next(output for output in response.outputs if output.name == "score")
    numpy.testing.assert_allclose(score.as_numpy(), expected, rtol=0, atol=1e-12)


def test_errors_keep_the_protocol_s_form(model, arrays, datatypes):
    first, *rest = arrays
    with pytest.raises(httpx.HTTPStatusError, match=f"missing: `{first}`"):
        ask(
            lambda client: client.infer(
                BASE,
                request(model, {name: arrays[name] for name in rest}, datatypes, False),
                headers=dict(HEADERS),
                model_name=model,
            )
        )
