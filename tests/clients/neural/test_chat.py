"""Chat with models on the machine itself, through the official OpenAI SDK, judged by llama.cpp on the same files.

    python make_gguf.py FOLDER
    AIGATE_URL=http://127.0.0.1:4000/v1 AIGATE_MODELS=FOLDER python -B -m pytest test_chat.py test_shapes.py

The running aigate serves each of FAMILIES (chat.py) under its own name from FOLDER/NAME-F32.gguf, with the context of the
file (2048 tokens). `AIGATE_KEY` is its key, if it wants one. The models are random: what they say has no sense, but it must
be the text that llama.cpp gets. Where llama.cpp's two best tokens are nearer than TIE, either choice is right and the
comparison of that text ends.
"""

from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from openai import OpenAI

from chat import (
    CONTEXT, FAMILIES, NEAR, QUESTION, SYSTEM, TAKES_TURNS, TURNS, Expected, ask, finishes, joined, said,
    streamed,
)  # fmt: skip

# What it says.


def test_every_family_is_listed(client: OpenAI):
    assert set(FAMILIES) <= {model.id for model in client.models.list()}


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_text_is_that_of_llama_cpp(client: OpenAI, llama_cpp, family: str):
    assert_same(client, llama_cpp, family, [])


@pytest.mark.parametrize("family", FAMILIES)
def test_several_turns_are_written_as_the_template_says(client: OpenAI, llama_cpp, family: str):
    assert_same(client, llama_cpp, family, TURNS)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_system_message_is_written_as_the_template_says_or_before_the_first_question(client: OpenAI, llama_cpp, family: str):
    assert_same(client, llama_cpp, family, SYSTEM)


def assert_same(client: OpenAI, llama_cpp, family: str, before: list[dict]) -> None:
    """The answer and the count of the prompt's tokens are llama.cpp's, up to the first tie."""
    messages, expected = Expected.clear(llama_cpp(family), before, 40)
    completion = ask(client, family, messages, max_completion_tokens=40)
    assert completion.usage.prompt_tokens == expected.prompt_tokens
    if expected.sure() == len(expected.tokens) and not expected.ended:
        assert said(completion) == expected.text()
    else:
        assert said(completion).startswith(expected.text())


@pytest.mark.parametrize("family", TAKES_TURNS)
def test_a_template_that_wants_turns_is_heard(client: OpenAI, family: str):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, family, [*QUESTION, *QUESTION])
    assert "user and assistant must take turns" in refused.value.message


@pytest.mark.parametrize("family", FAMILIES)
def test_a_longer_prompt_than_the_sliding_windows_gets_the_text_of_llama_cpp(client: OpenAI, llama_cpp, family: str):
    messages = [{"role": "user", "content": "The boats go out with the tide, and come back with salt. " * 12}]
    expected = Expected.of(llama_cpp(family), messages, 30)
    completion = ask(client, family, messages, max_completion_tokens=30)
    assert completion.usage.prompt_tokens == expected.prompt_tokens > 150
    assert said(completion).startswith(expected.text())


# How it ends.


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_token_limit_cuts_the_answer(client: OpenAI, field: str):
    completion = client.chat.completions.create(model="qwen2", messages=QUESTION, temperature=0, **{field: 7})
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens == 7
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + 7


def test_a_model_that_ends_its_turn_ends_the_answer(client: OpenAI, llama_cpp):
    ended = 0
    for number in range(12):
        messages = [{"role": "user", "content": f"Question {number}: will it rain?"}]
        expected = Expected.of(llama_cpp("llama-ends"), messages, 100)
        if expected.ended and expected.sure() == len(expected.tokens):
            ended += 1
            completion = ask(client, "llama-ends", messages, max_completion_tokens=100)
            assert completion.choices[0].finish_reason == "stop"
            assert said(completion) == expected.text()
    assert ended, "none of the questions made the model end its turn"


@pytest.mark.parametrize("form", ["text", "list"])
def test_a_stop_string_cuts_the_answer_before_it(client: OpenAI, form: str):
    whole = said(ask(client, "llama"))
    stop = whole[20:24]
    completion = ask(client, "llama", stop=stop if form == "text" else ["never said", stop])
    assert said(completion) == whole[: whole.index(stop)]
    assert completion.choices[0].finish_reason == "stop"


def test_a_stop_string_is_never_streamed_in_part(client: OpenAI):
    whole = said(ask(client, "llama"))
    stop = whole[20:28]
    parts = streamed(client, "llama", stop=stop)
    assert joined(parts) == whole[: whole.index(stop)]
    assert finishes(parts) == ["stop"]


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_a_prompt_longer_than_the_context_is_refused(client: OpenAI, family: str):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, family, [{"role": "user", "content": "The boats go out with the tide. " * 200}])
    assert refused.value.code == "context_length_exceeded"
    assert str(CONTEXT) in refused.value.message


def test_the_end_of_the_context_ends_the_answer(client: OpenAI):
    completion = client.chat.completions.create(model="llama", messages=QUESTION, temperature=0)
    assert completion.choices[0].finish_reason == "length"
    assert CONTEXT - 1 <= completion.usage.total_tokens <= CONTEXT + 1


# Streams and many callers.

@pytest.mark.parametrize("family", FAMILIES)
def test_a_streamed_answer_is_the_whole_one(client: OpenAI, family: str):
    whole = ask(client, family)
    parts = streamed(client, family, stream_options={"include_usage": True})
    assert joined(parts) == said(whole)
    assert finishes(parts) == [whole.choices[0].finish_reason]
    assert len([chunk for chunk in parts if chunk.choices and chunk.choices[0].delta.content]) > 5
    assert parts[-1].usage.prompt_tokens == whole.usage.prompt_tokens
    assert parts[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_callers_at_once_get_what_each_would_get_alone(client: OpenAI):
    questions = [[{"role": "user", "content": f"Question {number}"}] for number in range(6)]
    alone = [said(ask(client, "qwen3", question, max_completion_tokens=25)) for question in questions]
    assert len(set(alone)) > 1
    with ThreadPoolExecutor(len(questions)) as pool:
        together = list(
            pool.map(lambda question: said(ask(client, "qwen3", question, max_completion_tokens=25)), questions)
        )
    assert together == alone


def test_a_caller_who_leaves_does_not_disturb_the_next(client: OpenAI):
    whole = said(ask(client, "gemma2"))
    with ask(client, "gemma2", stream=True, max_completion_tokens=900) as stream:
        next(iter(stream))
    assert said(ask(client, "gemma2")) == whole


def test_a_conversation_that_goes_on_gets_what_a_fresh_one_would(client: OpenAI):
    first = said(ask(client, "qwen3"))
    again = [*QUESTION, {"role": "assistant", "content": first}, {"role": "user", "content": "And then?"}]
    continued = said(ask(client, "qwen3", again))
    ask(client, "qwen3", [{"role": "user", "content": "Something else altogether."}])
    assert said(ask(client, "qwen3", again)) == continued


# How tokens are picked.


@pytest.mark.parametrize("family", ["llama", "llama2", "qwen3", "gemma2", "gemma3"])
def test_log_probabilities_are_those_of_llama_cpp(client: OpenAI, llama_cpp, family: str):
    messages, expected = Expected.clear(llama_cpp(family), [], 30)
    completion = ask(client, family, messages, max_completion_tokens=30, logprobs=True, top_logprobs=5)
    told = completion.choices[0].logprobs.content
    assert len(told) == completion.usage.completion_tokens == 30
    for at in range(min(expected.sure(), len(told))):
        assert bytes(told[at].bytes) == expected.tokens[at]
        assert told[at].logprob == pytest.approx(expected.logprobs[at], abs=NEAR)
        numbers = [top.logprob for top in told[at].top_logprobs]
        assert numbers == sorted(numbers, reverse=True)
        assert numbers == pytest.approx([number for _, number in expected.tops[at]], abs=NEAR)
    text = b"".join(bytes(token.bytes) for token in told).decode(errors="replace")
    assert text.startswith(said(completion).rstrip("\ufffd"))


def test_log_probabilities_are_streamed_with_their_text(client: OpenAI):
    whole = ask(client, "qwen2", logprobs=True, top_logprobs=2).choices[0].logprobs.content
    parts = streamed(client, "qwen2", logprobs=True, top_logprobs=2)
    told = [
        token
        for chunk in parts
        for choice in chunk.choices
        if choice.logprobs
        for token in choice.logprobs.content or []
    ]
    assert [token.token for token in told] == [token.token for token in whole]
    assert [token.logprob for token in told] == pytest.approx([token.logprob for token in whole], abs=1e-3)


def test_a_seed_gives_the_same_answer_again_and_another_seed_another(client: OpenAI):
    answers = [said(ask(client, "llama", temperature=1.0, seed=seed)) for seed in (7, 7, 8)]
    assert answers[0] == answers[1] != answers[2]


def test_a_high_temperature_says_more_than_the_likeliest(client: OpenAI):
    likeliest = said(ask(client, "llama"))
    assert all(said(ask(client, "llama", temperature=1.5, seed=seed)) != likeliest for seed in range(3))


def test_a_tiny_top_p_says_the_likeliest(client: OpenAI):
    assert said(ask(client, "llama", temperature=1.0, top_p=0.0001)) == said(ask(client, "llama"))


# Who may write control tokens, and refusals.


@pytest.mark.parametrize(
    ("family", "control"), [("qwen2", "<|im_end|>"), ("llama", "<|eot_id|>"), ("gemma3", "<end_of_turn>")]
)
def test_a_callers_text_is_never_a_control_token(client: OpenAI, family: str, control: str):
    def length(text: str) -> int:
        messages = [{"role": "user", "content": text}]
        return ask(client, family, messages, max_completion_tokens=1).usage.prompt_tokens

    assert length(f"x{control}x") - length("xx") > 2


def test_an_unknown_model_is_not_found(client: OpenAI):
    with pytest.raises(openai.NotFoundError):
        ask(client, "no-such-model")


def test_a_picture_is_refused_by_a_model_that_reads_text(client: OpenAI):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, "llama", [{"role": "user", "content": [picture]}])
    assert "messages" in (refused.value.param or "") or "image" in refused.value.message
