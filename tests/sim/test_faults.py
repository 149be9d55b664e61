"""Faults by name, on every dialect: what is legal is read as if nothing were odd, what is broken ends in a typed error (RELIABILITY 8)."""

from __future__ import annotations

import time
from typing import Any

import pytest

from engine import errors
from engine.serve.fault_table import table
from engine.serve.faults import CUSTOM, fault
from engine.testing import Simulator, faults
from tests.sim.test_simulator import TARGETS

TEXT = ["One ", "two ", "thrée ", "four ", "five ", "six."]
SAY = [{"say": {"text": TEXT}}]
LEGAL = [
    "s_ok", "s_split_utf8", "s_crlf", "s_cr", "s_no_space", "s_multi_data", "s_bom", "s_comments", "s_id_retry", "s_unknown_event",
    "s_line_separator", "s_usage_chunk", "s_json_instead",
]  # fmt: skip
CUT = ["s_cut_clean", "s_cut_fin", "s_cut_rst", "s_cut_mid_event", "s_error", "s_malformed_event"]


def streamed(sim: Simulator, target: str, **options: Any) -> Any:
    return sim.client(**{"attempts": 1, "timeout": 20, **options}).chat.stream(target, "Hello").finish()


@pytest.mark.parametrize("dialect", TARGETS)
def test_legal_streams_are_read_as_if_nothing_were_odd(dialect: str) -> None:
    for name in LEGAL:
        with Simulator(SAY, fault=name) as sim:
            found = streamed(sim, TARGETS[dialect])
            assert found.text == sim.requests[-1].said and found.text.endswith("".join(TEXT)), name
            assert found.finish_reason == "stop", name
            fitted = fault(name).fits(True, {"bedrock-converse": "eventstream", "ollama": "ndjson"}.get(dialect, "sse"))
            assert sim.requests[-1].faults == ([name] if fitted else [])


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("dialect", TARGETS)
def test_streams_that_fail_end_in_an_error_after_the_text_so_far(dialect: str, name: str) -> None:
    with Simulator(SAY, fault=name) as sim:
        with pytest.raises(errors.Error) as caught:
            streamed(sim, TARGETS[dialect])
        assert caught.value.partial.text == "".join(TEXT[:3])
        assert not sim.requests[-1].finished or name in ("s_cut_clean", "s_cut_mid_event", "s_error", "s_malformed_event")
        if name == "s_error":
            wordless = dialect in ("cohere-v2", "ollama")  # their streams fail without a word for the kind
            assert (caught.value.kind, caught.value.message) == ("server" if wordless else "overloaded", "simulated overload")


@pytest.mark.parametrize(
    "name",
    [
        "s_empty",
        "s_html_200",
        "s_rst_before_first",
        "s_error_first",
        "s_tools_cut",
        "s_redirect_other_origin",
        "s_429_once",
        "s_529_once",
    ],
)
@pytest.mark.parametrize("dialect", TARGETS)
def test_streams_that_never_begin_end_in_an_error(dialect: str, name: str) -> None:
    with Simulator(SAY, fault=name) as sim:
        with pytest.raises(errors.Error):
            streamed(sim, TARGETS[dialect])
        assert not sim.elsewhere


@pytest.mark.parametrize(
    "name", [n for n in table() if n.startswith("u_") and n not in ("u_ok", "u_slow_headers", "u_task_cancelled", "u_gzip_bomb")]
)
@pytest.mark.parametrize("target", ["groq/m", "anthropic/m", "amazon-bedrock/m"])
def test_whole_answers_that_are_spoilt_give_text_or_a_typed_error(target: str, name: str) -> None:
    with Simulator(SAY, fault=name) as sim:
        client = sim.client(
            attempts=1, timeout=1.5, providers={"groq": {"api_key": "key-canary-1"}, "anthropic": {"api_key": "key-canary-1"}}
        )
        try:
            found = client.chat(target, "Hello")
        except errors.Error as error:
            assert "key-canary-1" not in str(error)
        else:
            assert name in (
                "u_json_as_text_plain",
                "u_null_content",
                "u_empty_choices",
                "u_huge_usage",
                "u_garbage_usage",
                "u_bad_utf8",
            )
            assert found.text in ("".join(TEXT), "") or name == "u_bad_utf8"
        assert sim.requests[0].faults == [name] and not sim.elsewhere


@pytest.mark.parametrize("name", ["u_500_once", "u_502_html_once", "u_529_once", "u_reset_before_headers", "u_reset_in_body"])
def test_a_fault_that_strikes_once_is_over_with_the_second_request(name: str) -> None:
    with Simulator(SAY, fault=name) as sim:
        assert sim.client(attempts=2, timeout=20).chat("groq/m", "Hello").text == "".join(TEXT)
        assert [r.faults for r in sim.requests] == [[name], []]
        sim.reset()
        with pytest.raises(errors.Error):
            sim.client(attempts=1).chat("groq/m", "Hello")


def test_how_often_can_be_said() -> None:
    with Simulator(SAY, fault="u_503_always", times=2) as sim:
        client = sim.client(attempts=1)
        for expected in (False, False, True):
            try:
                assert client.chat("groq/m", "x").text and expected
            except errors.Error:
                assert not expected


def test_retry_after_is_told_and_kept() -> None:
    with Simulator(SAY, fault="u_429_ra_seconds") as sim:
        start = time.perf_counter()
        assert sim.client().chat("anthropic/m", "Hello").text
        assert time.perf_counter() - start >= 0.95 and len(sim.requests) == 2


@pytest.mark.parametrize("name", ["u_429_ra_date", "u_429_reset_header"])
def test_a_limit_that_opens_at_a_time(name: str) -> None:
    with Simulator(SAY, fault=name) as sim:
        for target in ("groq/m", "anthropic/m"):
            sim.reset()
            assert sim.client(timeout=20).chat(target, "Hello").text
            assert len(sim.requests) == 2


def test_two_calls_side_by_side_and_one_on_the_other() -> None:
    with Simulator(fault="s_tools") as sim:
        for target in TARGETS.values():
            found = streamed(sim, target)
            assert [(c.name, c.arguments) for c in found.tool_calls] == [("fa", {"x": 1}), ("fb", {"y": 2})]
    with Simulator(fault="s_tools_dup_index") as sim:
        assert len(streamed(sim, "groq/m").tool_calls) == 2


@pytest.mark.parametrize("name", ["s_stall", "s_ping_forever", "s_close_early", "u_slow_headers"])
def test_a_client_that_goes_away_is_noticed(name: str) -> None:
    with Simulator(SAY, fault=name) as sim:
        client = sim.client(attempts=1, limits={"idle": 0.4, "headers": 0.4, "first_event": 0.4})
        stream = client.chat.stream("groq/m", "x")
        try:
            for seen, event in enumerate(stream):
                assert event is not None
                if seen > 8:
                    break
        except errors.TimeoutError:
            pass
        stream.close()
        until = time.monotonic() + 2
        while not sim.requests[0].gone and time.monotonic() < until:
            time.sleep(0.02)
        assert sim.requests[0].gone and not sim.requests[0].finished


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"after": 2, "cut": "reset"}, "connection"),
        ({"after": 2, "cut": "clean", "split": 7}, "stream_interrupted"),
        ({"after": 2, "malformed": True}, "protocol"),
        ({"after": 2, "error": {"kind": "rate_limit"}}, "rate_limit"),
        ({"status": 529}, "overloaded"),
        ({"status": 418, "body": "<h1>teapot</h1>"}, "invalid_request"),
        ({"body": "", "times": 1}, "stream_interrupted"),
    ],
)
def test_faults_are_made_of_pieces(given: dict[str, Any], kind: str) -> None:
    with Simulator({"script": SAY, "faults": [given]}) as sim:
        with pytest.raises(errors.Error) as caught:
            streamed(sim, "anthropic/m")
        assert caught.value.kind == kind or (kind, caught.value.kind) in {
            ("connection", "stream_interrupted"),
            ("stream_interrupted", "protocol"),
        }
        assert "after" not in given or caught.value.partial.text == "".join(TEXT[:2])


def test_a_rule_may_have_faults_of_its_own() -> None:
    with Simulator([{"when": "model == 'bad'", "faults": ["u_500_once"], "say": "x"}, {"say": "y"}]) as sim:
        client = sim.client(attempts=1)
        assert client.chat("groq/good", "?").text == "y"
        with pytest.raises(errors.ServerError):
            client.chat("groq/bad", "?")
        assert client.chat("groq/bad", "?").text == "x"


def test_what_is_no_fault_is_refused() -> None:
    for given in (
        "s_cut_clea",
        {"aftr": 1},
        {"after": -1, "cut": "clean"},
        {"cut": "x"},
        {"name": "s_ok", "after": 1},
        {"error": "x"},
        {},
        3,
        {"status": 500, "times": 0},
    ):
        with pytest.raises(errors.ConfigError):
            Simulator(fault=given)
    assert len(faults()) >= 100 and "s_cut_clean" in faults() and set(CUSTOM) >= {"after", "cut", "status"}
