"""Errors: each arrives as the SDK's own class, names the field at fault, and says when to come back."""

import openai
import pytest
from openai import OpenAI

import gateway
from gateway import Kind, raw_post

HELLO = [{"role": "user", "content": "alpha"}]


def chat(client: OpenAI, model: str, **fields):
    return client.chat.completions.create(**{"model": model, "messages": HELLO, **fields})


def test_a_wrong_key_is_refused(client: OpenAI, kind: Kind):
    stranger = client.with_options(api_key="sk-wrong")
    for call in (
        lambda: chat(stranger, kind.chat),
        lambda: chat(stranger, kind.chat, stream=True),
        lambda: stranger.embeddings.create(model=kind.embed, input="alpha"),
        lambda: stranger.models.list(),
    ):
        with pytest.raises(openai.AuthenticationError) as refused:
            call()
        assert refused.value.request_id
        assert "sk-wrong" not in str(refused.value.body)


def test_no_key_is_refused(client: OpenAI, kind: Kind):
    with pytest.raises(openai.AuthenticationError):
        chat(client, kind.chat, extra_headers={"Authorization": openai.Omit()})


def test_an_unknown_model_is_not_found_and_the_nearest_name_is_told(client: OpenAI, kind: Kind):
    misspelt = kind.chat[:2] + kind.chat[1:]
    with pytest.raises(openai.NotFoundError) as unknown:
        chat(client, misspelt)
    assert misspelt in unknown.value.message
    assert kind.chat in unknown.value.message, "a hint at the nearest name"
    with pytest.raises(openai.NotFoundError):
        chat(client, misspelt, stream=True)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_busy_provider_says_when_to_come_back(client: OpenAI, kind: Kind, stream: bool):
    with pytest.raises(openai.RateLimitError) as busy:
        chat(client, kind.busy, stream=stream)
    assert float(busy.value.response.headers["retry-after"]) > 0
    assert busy.value.request_id


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_model_that_the_provider_does_not_know_is_the_operator_s_fault(client: OpenAI, kind: Kind, stream: bool):
    with pytest.raises(openai.InternalServerError) as failed:
        chat(client, kind.missing, stream=stream)
    assert failed.value.status_code == 503
    assert failed.value.message


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_filtered_question_is_refused_as_such(client: OpenAI, kind: Kind, stream: bool):
    messages = [{"role": "user", "content": "filter-me alpha"}]
    if kind.facts["filtered_input"] == "finish":
        # Bedrock answers, and says in the stop reason that its guardrail stepped in.
        answer = chat(client, kind.chat, messages=messages, stream=stream)
        choices = [choice for part in answer for choice in part.choices] if stream else answer.choices
        assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["content_filter"]
        return
    with pytest.raises(openai.BadRequestError) as refused:
        chat(client, kind.chat, messages=messages, stream=stream)
    assert refused.value.code in kind.facts["filter_codes"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"presence_penalty": -3}, "presence_penalty"),
        ({"frequency_penalty": 3}, "frequency_penalty"),
        ({"n": 0}, "n"),
        ({"seed": "seven"}, "seed"),
        ({"stop": [1]}, "stop"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
        ({"logprobs": True, "top_logprobs": 30}, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"functions": [{"name": "old"}]}, "functions"),
        ({"messages": []}, "messages"),
        ({"messages": "alpha"}, "messages"),
        ({"messages": [{"role": "boss", "content": "alpha"}]}, "messages[0].role"),
        ({"messages": [*HELLO, {"role": "user"}]}, "messages[1].content"),
        ({"messages": [*HELLO, {"role": "user", "content": 3}]}, "messages[1].content"),
        ({"messages": [*HELLO, {"role": "tool", "content": "sunny"}]}, "messages[1].tool_call_id"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_invalid_value_is_refused_by_name(client: OpenAI, kind: Kind, fields: dict, param: str):
    with pytest.raises(openai.BadRequestError) as refused:
        chat(client, kind.chat, **fields)
    assert refused.value.param == param
    assert refused.value.type


def test_a_missing_field_is_named():
    answer = raw_post("/v1/chat/completions", '{"messages": [{"role": "user", "content": "alpha"}]}')
    assert answer.status == 400
    assert answer.json()["error"]["param"] == "model"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings"])
def test_invalid_json_is_refused_with_its_position(path: str):
    answer = raw_post(path, '{"model": "a",\n  oops}')
    assert answer.status == 400
    assert "line 2 column 3" in answer.json()["error"]["message"]


def test_an_error_has_the_documented_form_and_the_caller_s_request_id(client: OpenAI):
    with pytest.raises(openai.NotFoundError) as unknown:
        chat(client, "no-such-model", extra_headers={"x-request-id": "suite-error"})
    assert unknown.value.request_id == "suite-error"
    assert set(unknown.value.body) >= {"message", "type", "param", "code"}
    assert unknown.value.response.headers["content-type"].startswith("application/json")


def test_the_key_of_the_suite_never_stands_in_an_error(client: OpenAI):
    with pytest.raises(openai.NotFoundError) as unknown:
        chat(client, "no-such-model")
    assert gateway.key() not in str(unknown.value.body)
