"""A caller who leaves takes the provider's work along: before the answer, before the first chunk, and mid-stream."""

import asyncio
import json
import os
import time
import urllib.request
from collections.abc import Callable

import pytest
from openai import APITimeoutError, AsyncOpenAI, OpenAI

import gateway
from gateway import Kind

STATS = os.environ.get("AIGATE_SIM_STATS")

pytestmark = pytest.mark.skipif(
    not STATS, reason="AIGATE_SIM_STATS is not set: nobody tells what the providers see of a cancelled request"
)

# 20 ms between chunks: a stream of eight seconds, if nobody stops it.
LONG = "slowly " + " ".join(["word"] * 400)
# Two seconds before the answer begins.
LATE = "wait-first alpha"


def seen(kind: Kind) -> dict[str, int]:
    with urllib.request.urlopen(STATS, timeout=5) as answer:
        return json.load(answer)[kind.cloud]


def until(kind: Kind, holds: Callable[[dict[str, int]], bool], what: str) -> None:
    """Waits, five seconds at most, until the provider sees what is expected."""
    end = time.monotonic() + 5
    while not holds(now := seen(kind)):
        assert time.monotonic() < end, f"the provider never saw {what}: {now}"
        time.sleep(0.01)


def abandoned(stats: dict[str, int]) -> int:
    return stats["abandoned_streams"] + stats["abandoned_calls"]


def quiet(kind: Kind) -> dict[str, int]:
    """What the provider has seen once it is at rest."""
    until(kind, lambda stats: stats["in_flight"] == 0, "the end of earlier requests")
    return seen(kind)


def fields(kind: Kind, text: str) -> dict:
    return {"model": kind.chat, "messages": [{"role": "user", "content": text}]}


def stream_is_given_up(kind: Kind, before: dict[str, int]) -> None:
    until(
        kind,
        lambda stats: stats["abandoned_streams"] > before["abandoned_streams"] and stats["in_flight"] == 0,
        "that its stream was given up",
    )


def test_a_stream_closed_midway_is_given_up(client: OpenAI, kind: Kind):
    before = quiet(kind)
    with client.chat.completions.create(**fields(kind, LONG), stream=True) as stream:
        for _, _ in zip(range(3), stream):
            pass
        assert seen(kind)["in_flight"] == 1
    stream_is_given_up(kind, before)


def test_a_stream_helper_left_midway_is_given_up(client: OpenAI, kind: Kind):
    before = quiet(kind)
    with client.chat.completions.stream(**fields(kind, LONG)) as stream:
        next(event for event in stream if event.type == "content.delta" and event.delta)
    stream_is_given_up(kind, before)


def test_a_stream_read_to_its_end_is_not_given_up(client: OpenAI, kind: Kind):
    before = quiet(kind)
    with client.chat.completions.create(**fields(kind, "alpha bravo"), stream=True) as stream:
        list(stream)
    assert abandoned(quiet(kind)) == abandoned(before)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "before the first chunk"])
def test_a_call_aborted_before_the_answer_is_given_up(kind: Kind, stream: bool):
    async def run() -> None:
        async with AsyncOpenAI(base_url=gateway.url("/v1"), api_key=gateway.key(), max_retries=0) as client:
            call = asyncio.create_task(client.chat.completions.create(**fields(kind, LATE), stream=stream))
            await asyncio.to_thread(until, kind, lambda stats: stats["in_flight"] == 1, "the call")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    before = quiet(kind)
    asyncio.run(run())
    until(
        kind,
        lambda stats: abandoned(stats) > abandoned(before) and stats["in_flight"] == 0,
        "that the call was given up",
    )
    if not stream:
        assert seen(kind)["abandoned_calls"] > before["abandoned_calls"]


def test_a_call_that_the_caller_s_timeout_ends_is_given_up(client: OpenAI, kind: Kind):
    before = quiet(kind)
    with pytest.raises(APITimeoutError):
        client.with_options(timeout=0.5).chat.completions.create(**fields(kind, LATE))
    until(
        kind,
        lambda stats: stats["abandoned_calls"] > before["abandoned_calls"] and stats["in_flight"] == 0,
        "that the call was given up",
    )
