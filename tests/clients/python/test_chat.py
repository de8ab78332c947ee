"""Whole chat completions: what is said, what it cost, why it ended, and which headers tell of it."""

import uuid

from openai import OpenAI

from gateway import Kind


def ask(client: OpenAI, kind: Kind, text: str, **fields):
    return client.chat.completions.create(
        model=kind.chat, messages=[{"role": "user", "content": text}], **fields
    )


def test_a_question_is_answered(client: OpenAI, kind: Kind):
    completion = ask(client, kind, "alpha bravo charlie")
    assert completion.object == "chat.completion"
    assert completion.id and completion.model
    assert completion.created > 1_600_000_000
    [choice] = completion.choices
    assert choice.index == 0
    assert choice.message.role == "assistant"
    assert choice.message.content == kind.says("alpha bravo charlie")
    assert not choice.message.tool_calls
    assert choice.finish_reason == "stop"


def test_text_beyond_ascii_arrives_unchanged(client: OpenAI, kind: Kind):
    text = 'Grüße, 你好 und "🎉" \\ zum Schluß'
    assert ask(client, kind, text).choices[0].message.content == kind.says(text)


def test_system_and_developer_messages_reach_the_model(client: OpenAI, kind: Kind):
    completion = client.chat.completions.create(
        model=kind.chat,
        messages=[
            {"role": "system", "content": "Answer in one sentence."},
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": "alpha bravo"},
        ],
    )
    assert completion.choices[0].message.content == kind.says("alpha bravo")
    assert completion.usage.prompt_tokens == 4 + 2 + 2


def test_a_conversation_of_several_turns_reaches_the_model(client: OpenAI, kind: Kind):
    messages = [{"role": "user", "content": "first question"}]
    first = client.chat.completions.create(model=kind.chat, messages=messages)
    messages += [first.choices[0].message, {"role": "user", "content": "second question"}]
    second = client.chat.completions.create(model=kind.chat, messages=messages)
    assert second.choices[0].message.content == kind.says("second question")
    assert second.usage.prompt_tokens == 2 + len(kind.says("first question").split()) + 2


def test_two_user_messages_in_a_row_are_allowed(client: OpenAI, kind: Kind):
    completion = client.chat.completions.create(
        model=kind.chat,
        messages=[{"role": "user", "content": "alpha"}, {"role": "user", "content": "bravo"}],
    )
    assert completion.choices[0].message.content.endswith("bravo")
    assert completion.usage.prompt_tokens == 2


def test_text_in_parts_is_one_message(client: OpenAI, kind: Kind):
    parts = [{"type": "text", "text": "alpha"}, {"type": "text", "text": "bravo"}]
    completion = client.chat.completions.create(model=kind.chat, messages=[{"role": "user", "content": parts}])
    assert completion.choices[0].message.content == kind.says("alpha bravo")


def test_usage_counts_input_and_output(client: OpenAI, kind: Kind):
    usage = ask(client, kind, "alpha bravo").usage
    assert usage.prompt_tokens == 2
    assert usage.completion_tokens == len(kind.says("alpha bravo").split())
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_cached_input_has_its_own_field_and_is_part_of_the_input(client: OpenAI, kind: Kind):
    usage = ask(client, kind, "cached-prompt alpha bravo").usage
    assert usage.prompt_tokens == 3
    assert usage.prompt_tokens_details.cached_tokens == 2
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_reasoning_has_its_own_field_and_is_part_of_the_output(client: OpenAI, kind: Kind):
    usage = ask(client, kind, "think alpha bravo").usage
    details = usage.completion_tokens_details
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    if kind.facts["reasoning_tokens"] == "absent":
        assert details is None or details.reasoning_tokens is None, "unknown is not zero"
    else:
        assert details.reasoning_tokens == 3
        assert usage.completion_tokens >= len(kind.says("think alpha bravo").split())


def test_usage_that_the_provider_does_not_tell_is_absent(client: OpenAI, kind: Kind):
    completion = ask(client, kind, "no-usage alpha")
    assert completion.choices[0].message.content == kind.says("no-usage alpha")
    assert completion.usage is None


def test_an_answer_cut_by_the_limit_ends_with_length(client: OpenAI, kind: Kind):
    completion = ask(client, kind, "alpha bravo charlie", max_completion_tokens=4)
    assert completion.choices[0].message.content.strip() == kind.says("alpha")
    assert completion.choices[0].finish_reason == "length"


def test_an_answer_cut_by_the_filter_ends_with_content_filter(client: OpenAI, kind: Kind):
    completion = ask(client, kind, "filter-output alpha bravo charlie")
    assert completion.choices[0].finish_reason == "content_filter"
    assert completion.choices[0].message.content.strip() == f"SIM {kind.cloud}"


def test_a_finish_reason_that_openai_does_not_have_stays_the_provider_s_word(client: OpenAI, kind: Kind):
    completion = ask(client, kind, "alpha\nfinish: SOLAR_FLARE")
    assert completion.choices[0].finish_reason == "SOLAR_FLARE"


def test_the_request_id_is_made_when_none_was_sent(client: OpenAI, kind: Kind):
    ids = {ask(client, kind, "alpha")._request_id for _ in range(3)}
    assert len(ids) == 3 and all(ids)


def test_the_request_id_is_the_caller_s_when_one_was_sent(client: OpenAI, kind: Kind):
    mine = f"suite-{uuid.uuid4()}"
    raw = client.chat.completions.with_raw_response.create(
        model=kind.chat,
        messages=[{"role": "user", "content": "alpha"}],
        extra_headers={"x-request-id": mine},
    )
    assert raw.headers["x-request-id"] == mine
    assert raw.request_id == mine
    assert raw.parse()._request_id == mine


def test_headers_tell_who_answered(client: OpenAI, kind: Kind):
    raw = client.chat.completions.with_raw_response.create(
        model=kind.chat, messages=[{"role": "user", "content": "alpha"}]
    )
    provider = raw.headers["x-aigate-provider"]
    assert provider
    assert raw.headers["x-aigate-deployment"].startswith(f"{provider}/")
    assert raw.headers["x-aigate-attempts"] == "1"
    assert raw.headers["content-type"].startswith("application/json")
    assert raw.parse().choices[0].message.content == kind.says("alpha")


def test_a_hint_that_a_provider_has_no_use_for_is_left_out_and_named(client: OpenAI, kind: Kind):
    raw = client.chat.completions.with_raw_response.create(
        model=kind.chat, messages=[{"role": "user", "content": "alpha"}], prompt_cache_key="suite"
    )
    dropped = raw.headers.get("x-aigate-dropped")
    if kind.translated:
        assert "prompt_cache_key" in [name.strip() for name in (dropped or "").split(",")]
    else:
        assert dropped is None
