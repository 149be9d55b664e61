"""Secrets show nowhere (RELIABILITY S1, S2, S3)."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.secret import MASK, Masker, Secret
from engine.types import plain

KEY = 'sk-canary/0123+456789="abc\\def'


def test_s1_every_form_of_a_secret_is_a_mask() -> None:
    secret = Secret(f"  {KEY}\n")
    assert secret.reveal() == KEY
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret:>9}",
        "%s" % secret,  # noqa: UP031
        repr([secret]),
        repr({"k": secret}),
    ]
    shown += [json.dumps(secret, default=str), json.dumps(plain({"key": secret})), repr(vars(type(secret)))]
    assert not any("canary" in text for text in shown) and MASK in str(secret)
    assert copy.copy(secret) is secret and copy.deepcopy([secret])[0] is secret
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError):
            pickle.dumps(secret, protocol)
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        hash(secret)
    assert not hasattr(secret, "__dict__")
    assert secret == Secret(KEY) and secret != Secret("other") and secret != KEY


def test_s2_secrets_are_found_in_every_form() -> None:
    masker = Masker([Secret(KEY)])
    basic = base64.b64encode(f"user:{KEY}".encode()).decode()
    for text in (
        f"bad key {KEY}!",
        quote(KEY, safe=""),
        quote(KEY, safe="").lower(),
        json.dumps({"key": KEY}),
        json.dumps(json.dumps({"key": KEY})),
        base64.b64encode(KEY.encode()).decode(),
        base64.urlsafe_b64encode(KEY.encode()).decode(),
        f"Basic {basic}",
        f"starts with {KEY[:10]} and ends with {KEY[-9:]}",
    ):
        masked = masker.text(text)
        assert MASK in masked
        for form in (KEY[:9], KEY[4:13], "canary", quote(KEY)[:9], basic[12:22], base64.b64encode(KEY.encode()).decode()[:9]):
            assert form not in masked, (text, masked)
    assert masker.text("nothing to see, sk-cana is too short") == "nothing to see, sk-cana is too short"


@given(st.text(min_size=8, max_size=60), st.text(max_size=30), st.text(max_size=30), st.data())
def test_s2_no_run_of_eight_characters_survives(key: str, before: str, after: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(key) - 8))
    end = data.draw(st.integers(start + 8, len(key)))
    shown = Masker([key]).text(before + key[start:end] + after)
    assert not any(key[i : i + 8] in shown for i in range(start, end - 7)) or any(
        key[i : i + 8] in before + MASK + after for i in range(len(key) - 7)
    )


@given(st.binary(min_size=9, max_size=40), st.binary(max_size=7), st.binary(max_size=7))
def test_s2_base64_of_a_text_around_a_secret_hides_it(key: bytes, before: bytes, after: bytes) -> None:
    text = key.hex()
    masked = Masker([text]).text(base64.b64encode(before + text.encode() + after).decode())
    assert base64.b64encode(text.encode()).decode()[4:-4] not in masked and MASK in masked


def test_s2_structures_are_masked_keys_included() -> None:
    masked = Masker([KEY]).value({"a": [KEY, 1, None, {"b": f"x {KEY}"}], KEY: True, "raw": KEY.encode()})
    assert KEY not in repr(masked) and masked["a"][1:3] == [1, None] and "canary" not in repr(masked)
    deep: object = KEY
    for _ in range(200):
        deep = [deep]
    assert "canary" not in repr(Masker([KEY]).value(deep))


def test_s2_json_credentials_are_masked_leaf_by_leaf() -> None:
    account = {
        "type": "service_account",
        "private_key": "-----BEGIN\nMIIEvQIBADANBgkqhkiG9w0BAQ\n-----END",
        "token_uri": "https://oauth2.test/token",
    }
    masker = Masker([Secret(account)])
    assert "MIIEvQIB" not in masker.text("echo MIIEvQIBADANBgkqhkiG9w0BAQ")
    assert masker.text("service_account at https://oauth2.test/token") == "service_account at https://oauth2.test/token"
    assert "private" not in repr(Secret(account))


def test_s2_short_secrets_are_masked_whole() -> None:
    assert Masker(["hunter2"]).text("password hunter2 refused") == "password *** refused"
    assert Masker(["a"]).text("a plain text") == "a plain text"


def test_s3_urls_lose_query_and_user_info() -> None:
    masked = Masker([]).text("GET https://user:pw@api.test:8080/v1/x?key=abc&b=2#frag failed, see <http://a.test/?q=1>")
    assert masked == "GET https://api.test:8080/v1/x#frag failed, see <http://a.test/>"
    assert Masker([]).text("wss://h.test/s?token=t") == "wss://h.test/s"


def test_masking_is_linear() -> None:
    import time

    start = time.perf_counter()
    Masker([KEY]).text("x@://" * 100_000)
    assert time.perf_counter() - start < 3
