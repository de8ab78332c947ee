"""Fixtures of the chat tests: see the top of test_chat.py."""

import os
from contextlib import ExitStack
from functools import cache
from typing import Callable, Iterator

import pytest
from openai import OpenAI

import chat
import reference


@pytest.fixture(scope="session")
def client() -> Iterator[OpenAI]:
    """A client as callers make it, but without retries: they would hide failures."""
    url = os.environ.get("AIGATE_URL")
    if not url or not os.environ.get("AIGATE_MODELS"):
        pytest.fail("set AIGATE_URL and AIGATE_MODELS: see the top of test_chat.py")
    with OpenAI(base_url=url, api_key=os.environ.get("AIGATE_KEY", "none"), max_retries=0, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def llama_cpp() -> Iterator[Callable[[str], reference.Server]]:
    """llama.cpp with a family's file, each loaded once."""
    with ExitStack() as stack:
        yield cache(lambda family: stack.enter_context(chat.load(family)))
