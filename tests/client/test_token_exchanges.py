"""The shipped ways to get a token, each against a token server of its shape: what is asked for, once at a time, renewed when refused."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

import engine
from engine.errors import AuthenticationError

SERVICE_ACCOUNT = {"client_email": "me@p.iam.gserviceaccount.com", "private_key_id": "key-7", "project_id": "p"}
GOOGLE_ANSWER = {"candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}]}
SAP_ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

#: target -> settings, address of the token server, headers and form it must get, its answer around the token, the chat's answer
FLOWS: dict[str, tuple[dict[str, Any], str, dict[str, str], dict[str, str], dict[str, Any], dict[str, Any]]] = {
    "ibm-watsonx/m": (
        {"api_key": "ibm-key-1", "project_id": "p"},
        "https://iam.cloud.ibm.com/identity/token",
        {},
        {"grant_type": "urn:ibm:params:oauth:grant-type:apikey", "apikey": "ibm-key-1"},
        {"access_token": "{}", "expires_in": 3600, "expiration": 4102444800},
        ANSWER,
    ),
    "gigachat/m": (
        {"credentials": "bWU6c2VjcmV0"},
        "https://ngw.devices.sberbank.ru:9443/api/v2/oauth",
        {"authorization": "Basic bWU6c2VjcmV0"},
        {"scope": "GIGACHAT_API_PERS"},
        {"access_token": "{}", "expires_at": 4102444800000},
        ANSWER,
    ),
    "yandexgpt:openai/m": (
        {"oauth_token": "y0_person", "folder_id": "b1g"},
        "https://iam.api.cloud.yandex.net/iam/v1/tokens",
        {},
        {"yandexPassportOauthToken": "y0_person"},
        {"iamToken": "{}", "expiresAt": "2100-01-01T00:00:00Z"},
        ANSWER,
    ),
    "sap-ai-core/m": (
        {"client_id": "sb-1", "client_secret": "s|2", "api_url": "https://api.ai.test", "auth_url": "https://me.authentication.test", "deployment_id": "d1"},
        "https://me.authentication.test/oauth/token",
        {"authorization": "Basic " + base64.b64encode(b"sb-1:s|2").decode()},
        {"grant_type": "client_credentials"},
        {"access_token": "{}", "expires_in": 43199},
        {"request_id": "r", "final_result": ANSWER},
    ),
    "databricks/m": (
        {"client_id": "sp-1", "client_secret": "dose-2", "host": "https://dbc-1.cloud.databricks.test"},
        "https://dbc-1.cloud.databricks.test/oidc/v1/token",
        {"authorization": "Basic " + base64.b64encode(b"sp-1:dose-2").decode()},
        {"grant_type": "client_credentials", "scope": "all-apis"},
        {"access_token": "{}", "expires_in": 3600},
        ANSWER,
    ),
    "azure-openai/m": (
        {"tenant_id": "t-1", "client_id": "app-1", "client_secret": "pass-3", "endpoint": "https://x.openai.azure.com"},
        "https://login.microsoftonline.com/t-1/oauth2/v2.0/token",
        {},
        {"grant_type": "client_credentials", "client_id": "app-1", "client_secret": "pass-3", "scope": "https://cognitiveservices.azure.com/.default"},
        {"access_token": "{}", "expires_in": 3599},
        ANSWER,
    ),
    "google-vertex/gemini-2.5-flash": (
        {"service_account": SERVICE_ACCOUNT, "region": "europe-west1"},
        "https://oauth2.googleapis.com/token",
        {},
        {"grant_type": JWT_GRANT},
        {"access_token": "{}", "expires_in": 3599},
        GOOGLE_ANSWER,
    ),
}  # fmt: skip


class Cloud:
    """A token server and the service behind it. Tokens are T1, T2, …; the service takes only those `good` names."""

    def __init__(self, flow: tuple[Any, ...]) -> None:
        _, self.address, self.headers, self.form, self.around, self.answer = flow
        self.asked: list[dict[str, str]] = []
        self.seen: list[str] = []
        self.good: set[str] | None = None
        self.lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self.lock:
            if str(request.url) != self.address:
                token = request.headers["authorization"].removeprefix("Bearer ")
                self.seen.append(token)
                refused = self.good is not None and token not in self.good
                return (
                    httpx.Response(401, json={"error": {"message": "expired"}})
                    if refused
                    else httpx.Response(200, json=self.answer)
                )
            text = request.content.decode()
            form = json.loads(text) if request.headers["content-type"].startswith("application/json") else dict(parse_qsl(text))
            assert self.headers.items() <= dict(request.headers).items()
            assert self.form.items() <= form.items()
            self.asked.append(form)
            token = f"T{len(self.asked)}"
        return httpx.Response(200, json={k: token if v == "{}" else v for k, v in self.around.items()})


@pytest.fixture(scope="module")
def private_key() -> Any:
    rsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa")
    return rsa.generate_private_key(65537, 2048)


def pem(key: Any) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def settings(target: str, key: Any) -> dict[str, Any]:
    given = FLOWS[target][0]
    if "service_account" in given:
        given = {**given, "service_account": {**given["service_account"], "private_key": pem(key)}}
    return {target.split("/")[0].split(":")[0]: given}


@pytest.mark.parametrize("target", FLOWS)
def test_a_token_is_fetched_once_for_many_threads_and_anew_after_a_refusal(target: str, private_key: Any) -> None:
    cloud = Cloud(FLOWS[target])
    with engine.Client(providers=settings(target, private_key), transport=httpx.MockTransport(cloud)) as client:
        with ThreadPoolExecutor(8) as pool:
            texts = list(pool.map(lambda n: client.chat(target, f"hello {n}").text, range(24)))
        assert texts == ["hi"] * 24 and len(cloud.asked) == 1 and set(cloud.seen) == {"T1"}
        cloud.good = {"T2"}
        assert client.chat(target, "again").text == "hi"
        assert len(cloud.asked) == 2 and cloud.seen[-2:] == ["T1", "T2"]
        cloud.good = set()
        with pytest.raises(AuthenticationError):
            client.chat(target, "never")
        assert len(cloud.asked) == 3 and cloud.seen[-2:] == ["T2", "T3"]


@pytest.mark.parametrize("target", FLOWS)
def test_async_calls_share_one_fetch(target: str, private_key: Any) -> None:
    cloud = Cloud(FLOWS[target])

    async def many() -> list[str]:
        async with engine.AsyncClient(providers=settings(target, private_key), transport=httpx.MockTransport(cloud)) as client:
            return [answer.text for answer in await asyncio.gather(*(client.chat(target, "hello") for _ in range(16)))]

    assert asyncio.run(many()) == ["hi"] * 16
    assert len(cloud.asked) == 1 and set(cloud.seen) == {"T1"}


def claims(token: str, key: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    jwt = pytest.importorskip("jwt")
    options = {"verify_aud": False, "verify_exp": True}
    head = jwt.get_unverified_header(token)
    return head, jwt.decode(token, key, algorithms=[head["alg"]], options=options)


def test_the_assertion_of_a_service_account_verifies(private_key: Any) -> None:
    cloud = Cloud(FLOWS["google-vertex/gemini-2.5-flash"])
    with engine.Client(
        providers=settings("google-vertex/gemini-2.5-flash", private_key), transport=httpx.MockTransport(cloud)
    ) as client:
        client.chat("google-vertex/gemini-2.5-flash", "hello")
    head, said = claims(cloud.asked[0]["assertion"], private_key.public_key())
    assert head["kid"] == "key-7" and said["iss"] == "me@p.iam.gserviceaccount.com" and said["exp"] - said["iat"] == 3600
    assert (
        said["aud"] == "https://oauth2.googleapis.com/token" and said["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    )


def sent(target: str, given: dict[str, Any]) -> httpx.Request:
    requests: list[httpx.Request] = []

    def service(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=ANSWER)

    provider = target.split("/")[0].split(":")[0]
    with engine.Client(providers={provider: given}, transport=httpx.MockTransport(service)) as client:
        client.chat(target, "hello")
    return requests[0]


def test_a_key_pair_of_snowflake_names_the_account_the_user_and_the_key(private_key: Any) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    request = sent("snowflake-cortex/m", {"account": "org-acc", "user_name": "ann", "private_key": pem(private_key)})
    assert request.headers["x-snowflake-authorization-token-type"] == "KEYPAIR_JWT"
    head, said = claims(request.headers["authorization"].removeprefix("Bearer "), private_key.public_key())
    der = private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert head["alg"] == "RS256" and said["sub"] == "ORG-ACC.ANN"
    assert said["iss"] == "ORG-ACC.ANN.SHA256:" + base64.b64encode(sha256(der).digest()).decode()


def test_a_key_of_zhipu_signs_a_token_of_its_own() -> None:
    request = sent("zhipu:signed/glm-5.2", {"api_key": "id-1.secret-that-is-long-enough-for-hs256"})
    head, said = claims(request.headers["authorization"].removeprefix("Bearer "), "secret-that-is-long-enough-for-hs256")
    assert head["sign_type"] == "SIGN" and said["api_key"] == "id-1" and said["exp"] > said["timestamp"] > 10**12


def test_the_keys_of_kling_sign_a_token_of_half_an_hour() -> None:
    secret = "a-secret-that-is-long-enough-for-hs256"
    with engine.Client(providers={"kling": {"access_key": "ak-1", "secret_key": secret}}) as client:
        signed = client.sign(client.operation("kling/kling-v2-master", "video").render(prompt="It turns."))
    head, said = claims(signed.headers["Authorization"].removeprefix("Bearer "), secret)
    assert head["alg"] == "HS256" and said["iss"] == "ak-1" and said["exp"] - said["nbf"] == 1805
