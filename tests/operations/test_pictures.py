"""Pictures that show themselves while they are made, edits of several pictures, and sizes in two spellings."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import Client
from engine.catalog import Catalog
from engine.errors import StreamInterruptedError, UnsupportedError
from engine.serve.loopback import Loopback

PNG = b"\x89PNG\r\n\x1a\n"


def frame(event: str, **fields: Any) -> bytes:
    return f"event: {event}\ndata: {json.dumps({'type': event, **fields})}\n\n".encode()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def partial(index: int, data: bytes = PNG) -> bytes:
    return frame(
        "image_generation.partial_image", partial_image_index=index, b64_json=b64(data), output_format="webp", created_at=7
    )


def completed(data: bytes = PNG) -> bytes:
    return frame("image_generation.completed", b64_json=b64(data), created_at=7, usage={"input_tokens": 3, "output_tokens": 4})


def client(body: bytes | dict[str, Any], seen: list[httpx.Request] | None = None, **options: Any) -> Client:
    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        if seen is not None:
            seen.append(request)
        if isinstance(body, dict):
            return httpx.Response(200, json=body)
        return httpx.Response(200, content=body, headers={"content-type": "text/event-stream"})

    ids = ("openai", "stability", "black-forest-labs", "together")
    return Client(providers={id: {"api_key": "k"} for id in ids}, transport=httpx.MockTransport(answer), **options)


def test_a_stream_ends_in_what_a_whole_answer_gives() -> None:
    """The same picture by both ways, on the stand-in of a provider."""
    with Loopback(Catalog()) as sim, Client(providers={"openai": {"api_key": "k", "base_url": sim.url("openai")}}) as made:
        with made.image.stream("openai/gpt-image-2", "A lighthouse.", size="1024x1024", partial_images=2) as stream:
            events = list(stream)
        whole = made.image("openai/gpt-image-2", "A lighthouse.", size="1024x1024")
        with made.image_edit.stream("openai/gpt-image-2", "Blue.", PNG, partial_images=1) as edited:
            kinds = [event.kind for event in edited]
    previews = [event for event in events if event.kind == "partial_image"]
    assert [(p.index, p.media_type) for p in previews] == [(0, "image/png"), (1, "image/png")]
    apart = ("raw", "report")
    one, other = ({k: v for k, v in r.to_dict().items() if k not in apart} for r in (stream.response, whole))
    assert one == other and len(stream.response.outputs) == 1
    assert kinds == ["start", "partial_image", "image", "usage", "finish", "end"]


def test_previews_are_no_part_of_the_answer() -> None:
    seen: list[httpx.Request] = []
    stream = client(partial(0) + partial(1, PNG + b"2") + completed(PNG + b"3"), seen).image.stream(
        "openai/m", "A.", partial_images=2
    )
    kinds = [event.kind for event in stream]
    assert kinds == ["start", "partial_image", "partial_image", "image", "usage", "finish", "end"]
    answer = stream.response
    assert [o.data for o in answer.outputs] == [b64(PNG + b"3")] and answer.created == 7 and answer.completeness == "complete"
    assert json.loads(seen[0].content) == {"model": "m", "prompt": "A.", "stream": True, "partial_images": 2}


def test_several_pictures_may_come() -> None:
    stream = client(completed() + completed(PNG + b"2")).image.stream("openai/m", "A.", n=2)
    assert len(stream.finish().outputs) == 2


def test_a_stream_that_breaks_off_has_no_picture() -> None:
    stream = client(partial(0)).image.stream("openai/m", "A.", partial_images=2, attempts=1)
    with pytest.raises(StreamInterruptedError) as caught:
        stream.finish()
    assert caught.value.partial is not None and not caught.value.partial.outputs


def test_a_picture_may_be_as_large_in_a_stream_as_whole() -> None:
    large = PNG + bytes(15 << 20)  # 20 MiB of base64, in one event
    stream = client(completed(large)).image.stream("openai/m", "A.")
    assert len(stream.finish().outputs[0].data) > 20 << 20


def test_more_previews_than_there_are_and_previews_without_a_stream() -> None:
    made = client(partial(0) + completed())
    assert made.image.stream("openai/m", "A.", partial_images=9).finish().warnings == [
        "partial_images was changed from 9 to 3: image takes no more"
    ]
    assert made.image.explain("openai/m", "A.", partial_images=2).warnings == [
        "partial_images was dropped: image does not take it in this request"
    ]


def test_where_pictures_are_not_streamed_nothing_is_sent() -> None:
    seen: list[httpx.Request] = []
    with pytest.raises(UnsupportedError, match="cannot be streamed"):
        client({}, seen).image.stream("together/m", "A.").finish()
    assert not seen


def test_an_edit_takes_several_pictures_or_says_that_it_does_not(tmp_path: Path) -> None:
    seen: list[httpx.Request] = []
    path = tmp_path / "soap.png"
    path.write_bytes(PNG)
    made = client({"data": [{"b64_json": b64(PNG)}]}, seen)
    made.image_edit("openai/m", "A basket.", [path, PNG])
    made.image_edit("openai/m", "A basket.", [path])
    fields = [line for line in seen[0].content.split(b"\r\n") if line.startswith(b"Content-Disposition")]
    assert [b'name="image[]"' in line for line in fields] == [False, False, True, True]
    assert b'name="image"; filename="soap.png"' in seen[1].content
    with pytest.raises(UnsupportedError, match="one picture"):
        made.image_edit("stability/m", "A basket.", [path, PNG])
    assert len(seen) == 2


def test_a_size_is_told_once_in_the_spelling_of_the_wire() -> None:
    """Numbers that a size gives are no parameters that were dropped, and reach wires that want numbers."""
    made = client({})
    text = made.image.explain("openai/m", "A.", size="1024x512").to_dict()
    assert text["body"] == {"model": "m", "prompt": "A.", "size": "1024x512"} and text["warnings"] == []
    for given in ({"size": "1024x512"}, {"width": 1024, "height": 512}):
        numbers = made.image.explain("black-forest-labs/flux-pro-1.1", "A.", **given).to_dict()
        assert numbers["body"] == {"prompt": "A.", "width": 1024, "height": 512} and numbers["warnings"] == []
    assert made.image.explain("black-forest-labs/flux-pro-1.1", "A.", size="auto").warnings
