"""Fields that shape the answer: each acts, or is refused by its name. None is passed over in silence."""

import pytest
from openai import BadRequestError, OpenAI

from gateway import Kind, assert_names, outcome


def ask(client: OpenAI, kind: Kind, text: str = "alpha bravo charlie", **fields):
    return client.chat.completions.create(
        model=kind.chat, messages=[{"role": "user", "content": text}], **fields
    )


@pytest.mark.parametrize("field", ["temperature", "top_p"])
def test_the_sampling_fields_are_accepted(client: OpenAI, kind: Kind, field: str):
    completion = ask(client, kind, **{field: 0.7})
    assert completion.choices[0].message.content == kind.says("alpha bravo charlie")


@pytest.mark.parametrize("field", ["max_completion_tokens", "max_tokens"])
def test_the_token_limit_cuts_the_answer(client: OpenAI, kind: Kind, field: str):
    completion = ask(client, kind, **{field: 3})
    assert completion.choices[0].message.content.split() == ["SIM", kind.cloud, "heard:"]
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens == 3


@pytest.mark.parametrize(
    ("stop", "rest"), [("bravo", "alpha"), (["zulu", "charlie"], "alpha bravo")], ids=["string", "list"]
)
def test_a_stop_sequence_cuts_the_answer(client: OpenAI, kind: Kind, stop, rest: str):
    completion = ask(client, kind, stop=stop)
    assert completion.choices[0].message.content.strip() == kind.says(rest)
    assert completion.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("feature", "field", "value"),
    [
        ("seed", "seed", 7),
        ("penalties", "presence_penalty", 0.5),
        ("penalties", "frequency_penalty", 0.5),
        ("logit_bias", "logit_bias", {"50256": -100}),
        ("reasoning_effort", "reasoning_effort", "low"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_field_is_honoured_or_refused_by_name(client: OpenAI, kind: Kind, feature: str, field: str, value):
    completion = outcome(kind, feature, field, lambda: ask(client, kind, **{field: value}))
    if completion:
        assert completion.choices[0].message.content == kind.says("alpha bravo charlie")


def test_several_choices_are_given_or_n_is_refused(client: OpenAI, kind: Kind):
    completion = outcome(kind, "n", "n", lambda: ask(client, kind, "alpha", n=2))
    if completion:
        assert [choice.index for choice in completion.choices] == [0, 1]
        assert [choice.message.content for choice in completion.choices] == [
            kind.says("alpha"),
            kind.says("alpha #1"),
        ]


def test_n_of_one_is_no_wish_at_all(client: OpenAI, kind: Kind):
    assert len(ask(client, kind, n=1).choices) == 1


def test_log_probabilities_are_given_or_refused(client: OpenAI, kind: Kind):
    completion = outcome(kind, "logprobs", "logprobs", lambda: ask(client, kind, "alpha", logprobs=True))
    if completion:
        tokens = completion.choices[0].logprobs.content
        assert [token.token.strip() for token in tokens] == kind.says("alpha").split()
        assert [token.logprob for token in tokens] == pytest.approx([-0.5] * len(tokens))
        tokens = ask(client, kind, "alpha", logprobs=True, top_logprobs=2).choices[0].logprobs.content
        for token in tokens:
            assert token.top_logprobs and token.top_logprobs[0].token == token.token


def test_a_field_that_nobody_knows_is_refused_by_name(client: OpenAI, kind: Kind):
    with pytest.raises(BadRequestError) as refused:
        ask(client, kind, extra_body={"top_k": 3})
    assert "top_k" in refused.value.message
    assert_names(refused.value, "top_k", by_aigate=kind.translated)
