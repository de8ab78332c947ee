"""Images in messages: data URIs for every provider; URLs that the gateway would have to fetch are refused."""

import base64

import openai
import pytest
from openai import OpenAI

from gateway import Kind, assert_names

# One white pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8/5+hHgAHggJ/PchI7wAAAABJRU5ErkJggg=="
)
SEEN = f" [image/png {len(PNG)} bytes]"


def picture(url: str) -> dict:
    return {"type": "image_url", "image_url": {"url": url}}


def data_uri() -> str:
    return f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def ask(client: OpenAI, kind: Kind, *pictures: dict, **fields):
    content = [{"type": "text", "text": "what is this"}, *pictures]
    return client.chat.completions.create(
        model=kind.chat, messages=[{"role": "user", "content": content}], **fields
    )


def test_a_picture_reaches_the_model(client: OpenAI, kind: Kind):
    completion = ask(client, kind, picture(data_uri()))
    assert completion.choices[0].message.content == kind.says("what is this") + SEEN


def test_several_pictures_reach_the_model(client: OpenAI, kind: Kind):
    completion = ask(client, kind, picture(data_uri()), picture(data_uri()))
    assert completion.choices[0].message.content == kind.says("what is this") + SEEN + SEEN


def test_a_picture_reaches_a_model_that_streams(client: OpenAI, kind: Kind):
    with ask(client, kind, picture(data_uri()), stream=True) as stream:
        text = "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)
    assert text == kind.says("what is this") + SEEN


# Providers that speak OpenAI get the URL itself, so only the others are asked.
@pytest.mark.translated
@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/picture.png",
        "https://127.0.0.1/picture.png",
        "https://localhost/picture.png",
        "https://[::1]/picture.png",
        "file:///etc/hostname",
        "data:image/png;base64,@@@",
        "data:image/png,plain",
    ],
)
def test_a_url_that_is_no_picture_to_be_had_is_refused(client: OpenAI, kind: Kind, url: str):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, kind, picture(url))
    assert_names(refused.value, "messages")
