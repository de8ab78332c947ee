"""Streamed chat completions: raw chunks, usage at the end, and the SDK's own stream helper."""

import json

import pytest
from openai import OpenAI

from gateway import Kind, outcome, raw_post


def chunks(client: OpenAI, kind: Kind, text: str, **fields) -> list:
    with client.chat.completions.create(
        model=kind.chat, messages=[{"role": "user", "content": text}], stream=True, **fields
    ) as stream:
        return list(stream)


def joined(parts: list, index: int = 0) -> str:
    return "".join(
        choice.delta.content or "" for chunk in parts for choice in chunk.choices if choice.index == index
    )


def finishes(parts: list) -> list[str]:
    return [choice.finish_reason for chunk in parts for choice in chunk.choices if choice.finish_reason]


def test_chunks_join_to_the_answer(client: OpenAI, kind: Kind):
    parts = chunks(client, kind, "alpha bravo charlie")
    assert joined(parts) == kind.says("alpha bravo charlie")
    spoken = [chunk for chunk in parts if any(choice.delta.content for choice in chunk.choices)]
    assert len(spoken) >= 3, "the answer is to be streamed, not kept and sent at once"


def test_chunks_have_the_documented_order(client: OpenAI, kind: Kind):
    parts = [chunk for chunk in chunks(client, kind, "alpha bravo") if chunk.choices]
    assert {chunk.object for chunk in parts} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in parts}) == 1 and parts[0].id
    assert parts[0].choices[0].delta.role == "assistant"
    assert not any(chunk.choices[0].delta.role for chunk in parts[1:])
    assert [chunk.choices[0].finish_reason for chunk in parts[:-1]] == [None] * (len(parts) - 1)
    assert parts[-1].choices[0].finish_reason == "stop"


def test_text_beyond_ascii_arrives_unchanged(client: OpenAI, kind: Kind):
    text = 'Grüße, 你好 und "🎉" \\ zum Schluß'
    assert joined(chunks(client, kind, text)) == kind.says(text)


def test_usage_comes_once_and_last_when_asked_for(client: OpenAI, kind: Kind):
    parts = chunks(client, kind, "alpha bravo", stream_options={"include_usage": True})
    assert [index for index, chunk in enumerate(parts) if chunk.usage] == [len(parts) - 1]
    last = parts[-1]
    assert last.choices == []
    assert last.usage.prompt_tokens == 2
    assert last.usage.completion_tokens == len(kind.says("alpha bravo").split())
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens


@pytest.mark.parametrize("fields", [{}, {"stream_options": {"include_usage": False}}], ids=["default", "false"])
def test_usage_does_not_come_when_not_asked_for(client: OpenAI, kind: Kind, fields: dict):
    assert [chunk for chunk in chunks(client, kind, "alpha", **fields) if chunk.usage] == []


def test_usage_that_the_provider_does_not_tell_is_absent(client: OpenAI, kind: Kind):
    parts = chunks(client, kind, "no-usage alpha", stream_options={"include_usage": True})
    assert joined(parts) == kind.says("no-usage alpha")
    assert [chunk for chunk in parts if chunk.usage] == []


def test_cached_and_reasoning_tokens_have_their_own_fields(client: OpenAI, kind: Kind):
    parts = chunks(client, kind, "cached-prompt think alpha", stream_options={"include_usage": True})
    usage = parts[-1].usage
    assert usage.prompt_tokens == 3
    assert usage.prompt_tokens_details.cached_tokens == 2
    details = usage.completion_tokens_details
    if kind.facts["reasoning_tokens"] == "absent":
        assert details is None or details.reasoning_tokens is None, "unknown is not zero"
    else:
        assert details.reasoning_tokens == 3


def test_finish_reasons_are_those_of_whole_answers(client: OpenAI, kind: Kind):
    assert finishes(chunks(client, kind, "alpha bravo charlie", max_completion_tokens=4)) == ["length"]
    assert finishes(chunks(client, kind, "filter-output alpha bravo charlie")) == ["content_filter"]
    assert finishes(chunks(client, kind, "alpha\nfinish: SOLAR_FLARE")) == ["SOLAR_FLARE"]


def test_several_choices_are_streamed_or_n_is_refused(client: OpenAI, kind: Kind):
    parts = outcome(kind, "n", "n", lambda: chunks(client, kind, "alpha", n=2))
    if parts:
        assert joined(parts, 0) == kind.says("alpha")
        assert joined(parts, 1) == kind.says("alpha #1")
        assert finishes(parts) == ["stop", "stop"]


def test_log_probabilities_are_streamed_or_refused(client: OpenAI, kind: Kind):
    parts = outcome(kind, "logprobs", "logprobs", lambda: chunks(client, kind, "alpha", logprobs=True))
    if parts:
        choices = [choice for chunk in parts for choice in chunk.choices]
        tokens = [token for choice in choices if choice.logprobs for token in choice.logprobs.content or []]
        assert [token.token.strip() for token in tokens] == kind.says("alpha").split()
        assert [token.logprob for token in tokens] == pytest.approx([-0.5] * len(tokens))


def test_headers_tell_who_answers(client: OpenAI, kind: Kind):
    raw = client.chat.completions.with_raw_response.create(
        model=kind.chat,
        messages=[{"role": "user", "content": "alpha"}],
        stream=True,
        extra_headers={"x-request-id": "suite-stream"},
    )
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.headers["x-request-id"] == "suite-stream"
    assert raw.headers["x-aigate-deployment"].startswith(f"{raw.headers['x-aigate-provider']}/")
    assert raw.headers["x-aigate-attempts"] == "1"
    assert joined(list(raw.parse())) == kind.says("alpha")


def test_the_stream_ends_with_done(kind: Kind):
    body = {"model": kind.chat, "messages": [{"role": "user", "content": "alpha"}], "stream": True}
    answer = raw_post("/v1/chat/completions", json.dumps(body))
    events = [line for line in answer.text.splitlines() if line.startswith("data:")]
    assert events[-1] == "data: [DONE]"
    assert events.count("data: [DONE]") == 1


def test_the_stream_helper_gathers_the_completion(client: OpenAI, kind: Kind):
    with client.chat.completions.stream(
        model=kind.chat,
        messages=[{"role": "user", "content": "alpha bravo"}],
        stream_options={"include_usage": True},
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    assert "".join(event.delta for event in events if event.type == "content.delta") == kind.says("alpha bravo")
    assert [event.content for event in events if event.type == "content.done"] == [kind.says("alpha bravo")]
    assert final.choices[0].message.role == "assistant"
    assert final.choices[0].message.content == kind.says("alpha bravo")
    assert final.choices[0].finish_reason == "stop"
    assert final.usage.prompt_tokens == 2
