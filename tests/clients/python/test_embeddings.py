"""Embeddings: each form of input, both encodings (the SDK asks for base64 by default), length and usage."""

import base64
import json
import math
import struct

import openai
import pytest
from openai import OpenAI

from gateway import Kind, assert_names, outcome, raw_post

TEXTS = ["alpha bravo", "charlie", "delta echo foxtrot"]


def embed(client: OpenAI, kind: Kind, text, **fields) -> list[list[float]]:
    answer = client.embeddings.create(model=kind.embed, input=text, **fields)
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    return [item.embedding for item in answer.data]


def test_a_text_is_embedded(client: OpenAI, kind: Kind):
    answer = client.embeddings.create(model=kind.embed, input="alpha bravo")
    assert answer.object == "list" and answer.model
    [item] = answer.data
    assert item.object == "embedding" and item.index == 0
    assert len(item.embedding) == 8
    assert math.hypot(*item.embedding) == pytest.approx(1, abs=1e-3)


def test_texts_are_embedded_in_their_order(client: OpenAI, kind: Kind):
    together = embed(client, kind, TEXTS)
    assert len(together) == 3
    for text, vector in zip(TEXTS, together):
        assert vector == pytest.approx(embed(client, kind, text)[0], abs=1e-6)
    assert together[0] != pytest.approx(together[1], abs=1e-3)


def test_both_encodings_give_equal_vectors(client: OpenAI, kind: Kind):
    default = embed(client, kind, TEXTS)
    for encoding in ("float", "base64"):
        for mine, other in zip(default, embed_raw(kind, encoding), strict=True):
            assert mine == pytest.approx(other, abs=1e-6)
    for mine, other in zip(default, embed(client, kind, TEXTS, encoding_format="float"), strict=True):
        assert mine == pytest.approx(other, abs=1e-6)


def embed_raw(kind: Kind, encoding: str) -> list[list[float]]:
    """Without the SDK, which hides the encoding."""
    body = {"model": kind.embed, "input": TEXTS, "encoding_format": encoding}
    items = raw_post("/v1/embeddings", json.dumps(body)).json()["data"]
    if encoding == "float":
        return [item["embedding"] for item in items]
    packed = [base64.b64decode(item["embedding"], validate=True) for item in items]
    return [list(struct.unpack(f"<{len(text) // 4}f", text)) for text in packed]


def test_the_length_is_the_one_asked_for(client: OpenAI, kind: Kind):
    [vector] = embed(client, kind, "alpha bravo", dimensions=256)
    assert len(vector) == 256


def test_usage_counts_the_input(client: OpenAI, kind: Kind):
    usage = client.embeddings.create(model=kind.embed, input=TEXTS).usage
    if kind.facts["embedding_tokens"] == "either" and usage is None:
        return
    assert usage.prompt_tokens == usage.total_tokens == 6


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]], ids=["one", "several"])
def test_tokens_are_embedded_or_refused(client: OpenAI, kind: Kind, tokens):
    vectors = outcome(kind, "token_arrays", "input", lambda: embed(client, kind, tokens))
    if vectors:
        assert len(vectors) == (2 if isinstance(tokens[0], list) else 1)


def test_headers_tell_who_answered(client: OpenAI, kind: Kind):
    raw = client.embeddings.with_raw_response.create(
        model=kind.embed, input="alpha", extra_headers={"x-request-id": "suite-embed"}
    )
    assert raw.headers["x-aigate-deployment"].startswith(f"{raw.headers['x-aigate-provider']}/")
    assert raw.headers["x-aigate-attempts"] == "1"
    assert raw.parse()._request_id == "suite-embed"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"input": []}, "input"),
        ({"input": 7}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
    ],
    ids=["nothing", "number", "no dimensions", "unknown encoding"],
)
def test_invalid_values_are_refused_by_name(client: OpenAI, kind: Kind, fields: dict, field: str):
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(**{"model": kind.embed, "input": "alpha", "encoding_format": "float", **fields})
    assert refused.value.param == field


def test_a_field_that_nobody_knows_is_refused_by_name(client: OpenAI, kind: Kind):
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=kind.embed, input="alpha", extra_body={"pooling": "mean"})
    assert_names(refused.value, "pooling", by_aigate=kind.translated)


def test_a_chat_model_does_not_embed(client: OpenAI, kind: Kind):
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as refused:
        client.embeddings.create(model=kind.chat, input="alpha")
    assert kind.chat in refused.value.message
