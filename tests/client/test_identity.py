"""The machine's own identity as a credential (SPEC_LANGUAGE 9): the clouds' own libraries against metadata services on loopback."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import engine
from engine import errors
from engine.call.send import identity

OWN = """name: Own
base_url: {{env: OWN_URL, default: "http://localhost:9"}}
auth: {auth}
chat:
  post: /chat
  body: {{question: "{{{{ (messages | last).text }}}}"}}
  response: {{text: answer}}
models: {{default: m}}
"""
AUTH = {
    "aws": """{tokens: {me: {source: aws}}, sign: aws-sigv4, with: {service: own, region: us-east-1, access_key: "{{ me.access_key }}", secret_key: "{{ me.secret_key }}", session_token: "{{ me.session_token }}"}}""",
    "gcp": """{tokens: {me: {source: gcp, with: {scope: https://own.example/auth}}}, bearer: "{{ me.token }}"}""",
    "azure": """{tokens: {me: {source: azure, with: {scope: https://own.example/.default}}}, bearer: "{{ me.token }}"}""",
}
TOKEN = "tok-" + "9" * 40


class Cloud:
    """One loopback server: an API that echoes what signs its requests, and the metadata services of three clouds."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                return

            def _answer(self, document: Any, **headers: str) -> None:
                data = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(200)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(data)

            def do_PUT(self) -> None:
                self._answer(b"imds-token", x_aws_ec2_metadata_token_ttl_seconds="60")

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                seen = [self.headers.get("authorization"), self.headers.get("x-amz-security-token")]
                self._answer({"answer": json.dumps(seen)})

            def do_GET(self) -> None:
                cloud.asked.append(self.path.partition("?")[0])
                end = datetime.now(UTC) + timedelta(hours=1)
                if self.path.startswith("/latest/meta-data/iam/security-credentials/"):
                    role = {"AccessKeyId": "AKIDROLE", "SecretAccessKey": "s", "Token": "session", "Code": "Success"}
                    named = self.path.endswith("/")
                    self._answer(b"my-role" if named else {**role, "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ")})
                elif self.path.startswith("/computeMetadata"):
                    token = {"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"}
                    account = {"email": "me@example.com", "scopes": [], "aliases": ["default"]}
                    one = token if "/token" in self.path else account if "recursive" in self.path else b"my-project"
                    self._answer(one, Metadata_Flavor="Google")
                elif self.path == "/":  # is there such a service?
                    self._answer(b"", Metadata_Flavor="Google")
                else:
                    self._answer(
                        {"access_token": TOKEN, "expires_on": str(int(end.timestamp())), "resource": "x", "token_type": "Bearer"}
                    )

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[Cloud]:
    """One for all: a library of a cloud reads the place of its metadata service when it is imported."""
    made = Cloud()
    yield made
    made.close()


@pytest.fixture
def cloud(server: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cloud:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    server.asked = []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))  # no tool of a cloud is found
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{server.host}")
    monkeypatch.setenv("GCE_METADATA_HOST", server.host)
    monkeypatch.setenv("GCE_METADATA_IP", server.host)
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://{server.host}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    return server


def own(tmp_path: Path, auth: str) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(OWN.format(auth=auth), "utf-8")
    return path


def library(source: str) -> None:
    pytest.importorskip(identity.SOURCES[source][0], reason=f"the extra [{source}] is not installed")


def asked(source: str, cloud: Cloud) -> list[str]:
    places = {"aws": "/latest/", "gcp": "/computeMetadata", "azure": "/msi/"}
    return [path for path in cloud.asked if path.startswith(places[source])]


@pytest.mark.parametrize("source", AUTH)
def test_a_call_is_signed_with_the_identity_of_the_metadata_service(source: str, cloud: Cloud, tmp_path: Path) -> None:
    library(source)
    settings = {"own": {"base_url": f"http://{cloud.host}"}}
    with engine.Client([own(tmp_path, AUTH[source])], providers=settings) as client:
        seen = [json.loads(client.chat("own/m", "hi").text) for _ in range(2)]
        once = len(asked(source, cloud))
        client.chat("own/m", "hi")
    credential, session = seen[0]
    assert credential.startswith("AWS4-HMAC-SHA256 Credential=AKIDROLE/") if source == "aws" else credential == f"Bearer {TOKEN}"
    assert session == ("session" if source == "aws" else None)
    assert 1 <= len(asked(source, cloud)) == once, "it was asked again for every call"


@pytest.mark.parametrize("source", AUTH)
def test_async_calls_ask_once_and_do_not_block_the_loop(source: str, cloud: Cloud, tmp_path: Path) -> None:
    library(source)

    async def main() -> list[str]:
        async with engine.AsyncClient(
            [own(tmp_path, AUTH[source])], providers={"own": {"base_url": f"http://{cloud.host}"}}
        ) as client:
            turns = 0

            async def count() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0.001)

            counter = asyncio.create_task(count())
            answers = await asyncio.gather(*(client.chat("own/m", "hi") for _ in range(8)))
            counter.cancel()
            assert turns > 1
            return [json.loads(answer.text)[0] for answer in answers]

    credentials = asyncio.run(main())
    assert len(credentials) == 8
    assert all(credentials)
    assert sum(path.endswith(("/my-role", "/token")) for path in asked(source, cloud)) == 1


def test_a_profile_of_the_shared_file_comes_before_the_metadata_service(cloud: Cloud, tmp_path: Path) -> None:
    library("aws")
    (tmp_path / "AWS_SHARED_CREDENTIALS_FILE").write_text(
        "[work]\naws_access_key_id = AKIDFILE\naws_secret_access_key = s\n", "utf-8"
    )
    auth = AUTH["aws"].replace("source: aws", "source: aws, with: {profile: work}")
    with engine.Client([own(tmp_path, auth)], providers={"own": {"base_url": f"http://{cloud.host}"}}) as client:
        credential, session = json.loads(client.chat("own/m", "hi").text)
    assert "Credential=AKIDFILE/" in credential
    assert session is None
    assert not asked("aws", cloud)


def test_keys_that_are_given_are_used_and_no_identity_is_asked(cloud: Cloud) -> None:
    library("aws")
    keys = {"access_key": "AKIDGIVEN", "secret_key": "s"}
    with engine.Client(providers={"amazon-bedrock": keys}) as client:
        assert "Credential=AKIDGIVEN/" not in str(shown := client.chat.explain("amazon-bedrock/m", "hi"))  # masked
        assert "this machine's" not in str(shown)
    assert not cloud.asked


@pytest.mark.parametrize("source", ["gcp", "azure"])
def test_a_source_without_its_scope_says_so(source: str, cloud: Cloud, tmp_path: Path) -> None:
    library(source)
    own_source = own(tmp_path, f"{{tokens: {{me: {{source: {source}}}}}, bearer: '{{{{ me.token }}}}'}}")
    settings = {"own": {"base_url": f"http://{cloud.host}"}}
    with engine.Client([own_source], providers=settings) as client, pytest.raises(errors.ConfigError, match="`scope`"):
        client.chat("own/m", "hi")


def test_no_identity_is_a_typed_error_without_what_was_read(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library("aws")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    own_aws, settings = own(tmp_path, AUTH["aws"]), {"own": {"base_url": f"http://{cloud.host}"}}
    with engine.Client([own_aws], providers=settings) as client, pytest.raises(errors.ConfigError, match="no aws identity"):
        client.chat("own/m", "hi")
    monkeypatch.setenv("AWS_PROFILE", "sk-secret-name-of-a-profile")
    wanted = pytest.raises(errors.ConfigError, match="aws identity could not be had: ProfileNotFound")
    with engine.Client([own_aws], providers=settings) as client, wanted as caught:
        client.chat("own/m", "hi")
    assert "sk-secret" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a1_an_identity_goes_to_the_provider_only(cloud: Cloud) -> None:
    """Like keys of the environment: another address than the spec's gets what its caller hands over, nothing else."""
    library("aws")
    moved = {"amazon-bedrock": {"base_url": f"http://{cloud.host}"}}
    with engine.Client(providers=moved) as client, pytest.raises(errors.ConfigError, match="with another base_url"):
        client.chat("amazon-bedrock/m", "hi")
    assert not cloud.asked


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    monkeypatch.setattr("engine.call.send.identity.installed", lambda source: False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    with engine.Client() as client, pytest.raises(errors.ConfigError, match=r"AWS_BEARER_TOKEN_BEDROCK.*llmkit-engine\[aws\]"):
        client.chat("amazon-bedrock/m", "hi")
    monkeypatch.setattr("engine.call.send.identity.installed", lambda source: True)
    with engine.Client() as client, pytest.raises(errors.ConfigError, match=r"llmkit-engine\[aws\]"):
        client.chat("amazon-bedrock/m", "hi")


def test_explain_says_whose_identity_would_be_asked_and_asks_nobody(cloud: Cloud, tmp_path: Path) -> None:
    library("gcp")
    with engine.Client([own(tmp_path, AUTH["gcp"])], providers={"own": {"base_url": f"http://{cloud.host}"}}) as client:
        assert "this machine's gcp identity" in str(client.chat.explain("own/m", "hi"))
    assert not cloud.asked
