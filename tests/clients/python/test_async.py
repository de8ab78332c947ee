"""The asynchronous client: the same answers, and many calls at once that stay apart."""

import asyncio

import openai
import pytest
from openai import AsyncOpenAI

import gateway
from gateway import Kind


def asynchronous() -> AsyncOpenAI:
    return AsyncOpenAI(base_url=gateway.url("/v1"), api_key=gateway.key(), max_retries=0, timeout=10)


def fields(kind: Kind, text: str) -> dict:
    return {"model": kind.chat, "messages": [{"role": "user", "content": text}]}


def test_a_question_is_answered(kind: Kind):
    async def run() -> None:
        async with asynchronous() as client:
            completion = await client.chat.completions.create(**fields(kind, "alpha"))
            assert completion.choices[0].message.content == kind.says("alpha")
            assert completion._request_id

    asyncio.run(run())


def test_an_answer_is_streamed(kind: Kind):
    async def run() -> None:
        async with asynchronous() as client:
            stream = await client.chat.completions.create(**fields(kind, "alpha bravo"), stream=True)
            text = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
            assert "".join(text) == kind.says("alpha bravo")

    asyncio.run(run())


def test_the_stream_helper_gathers_the_completion(kind: Kind):
    async def run() -> None:
        async with asynchronous() as client:
            async with client.chat.completions.stream(**fields(kind, "alpha bravo")) as stream:
                final = await stream.get_final_completion()
            assert final.choices[0].message.content == kind.says("alpha bravo")

    asyncio.run(run())


def test_texts_are_embedded(kind: Kind):
    async def run() -> None:
        async with asynchronous() as client:
            answer = await client.embeddings.create(model=kind.embed, input=["alpha", "bravo"])
            assert [len(item.embedding) for item in answer.data] == [8, 8]

    asyncio.run(run())


def test_many_calls_at_once_stay_apart(kind: Kind):
    async def run() -> None:
        async with asynchronous() as client:
            texts = [f"caller {number}" for number in range(20)]
            calls = [client.chat.completions.create(**fields(kind, text)) for text in texts]
            answers = await asyncio.gather(*calls)
        assert [answer.choices[0].message.content for answer in answers] == [kind.says(text) for text in texts]
        assert len({answer._request_id for answer in answers}) == 20

    asyncio.run(run())


def test_errors_have_their_classes(kind: Kind):
    async def run() -> None:
        async with asynchronous() as client:
            with pytest.raises(openai.RateLimitError) as busy:
                await client.chat.completions.create(**fields(kind, "alpha") | {"model": kind.busy})
            assert float(busy.value.response.headers["retry-after"]) > 0
            with pytest.raises(openai.AuthenticationError):
                stranger = client.with_options(api_key="sk-wrong")
                await stranger.chat.completions.create(**fields(kind, "alpha"))

    asyncio.run(run())
