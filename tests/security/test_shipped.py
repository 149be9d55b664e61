"""What we ship keeps its word (RELIABILITY P5, P6)."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.spec.rules import rules

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(p for folder in ("engine", "tools") for p in (ROOT / folder).rglob("*.py") if "_data" not in p.parts)
NEVER = {"eval", "__import__", "breakpoint", "input"}
MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "telnetlib", "ftplib", "xmlrpc", "pty", "imp", "code"}
SHELLS = {"system", "popen", "getoutput", "getstatusoutput", "spawnl", "spawnv", "execv", "execl"}


def calls(path: Path) -> Iterator[tuple[ast.Call, str, str]]:
    """Every call with the name called and what it is called on."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name):
                yield node, function.id, ""
            elif isinstance(function, ast.Attribute):
                yield node, function.attr, function.value.id if isinstance(function.value, ast.Name) else "…"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_p5_no_dangerous_call(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        names = (
            [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        for name in names:
            assert name.split(".")[0] not in MODULES, f"{place}:{node.lineno} imports {name}"
    for node, name, target in calls(path):
        where = f"{place}:{node.lineno}"
        options = {k.arg: k.value for k in node.keywords}
        assert not (name in NEVER and not target), where
        assert not (name in SHELLS and target == "os"), where
        assert not (name in ("compile", "exec") and not target) or place == "engine/expr/function.py", where
        loader = options.get("Loader")
        safe = isinstance(loader, ast.Attribute) and loader.attr in ("SafeLoader", "CSafeLoader")
        assert (
            not (name in ("load", "load_all", "full_load", "unsafe_load") and target == "yaml")
            or safe
            or place.startswith("tools/")
        ), where
        shell = options.get("shell")
        assert shell is None or (isinstance(shell, ast.Constant) and shell.value is False), where
        for option in ("verify", "ssl", "check_hostname"):
            value = options.get(option)
            assert not (isinstance(value, ast.Constant) and value.value is False), where
        assert name not in ("_create_unverified_context", "mktemp"), where
        assert name != "extractall", where


def test_p5_certificate_checks_are_never_switched_off() -> None:
    for path in FILES:
        text = path.read_text("utf-8")
        for word in ("CERT_NONE", "check_hostname = False", "_create_unverified", "verify=False", "ssl=False", "disable_warnings"):
            assert word not in text, path


def test_p5_the_linter_refuses_them() -> None:
    chosen = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    wanted = {"S102", "S301", "S307", "S324", "S501", "S506", "S602", "S605", "S608"}
    assert wanted <= set(chosen["select"]) and not wanted & set(chosen.get("ignore", []))


def test_p5_and_it_does(tmp_path: Path) -> None:
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        pytest.skip("ruff is not installed")
    bad = tmp_path / "bad.py"
    bad.write_text(
        "import os, pickle, subprocess, yaml, requests\n"
        "eval(x)\nexec(x)\npickle.loads(x)\nyaml.load(x)\nos.system(x)\n"
        "subprocess.run(x, shell=True)\nrequests.get(x, verify=False)\ncursor.execute(f'select {x} from t')\n"
    )
    done = subprocess.run(
        [ruff, "check", "--config", ROOT / "pyproject.toml", "--output-format", "concise", bad], capture_output=True, text=True
    )
    assert {c for c in ("S307", "S102", "S301", "S506", "S605", "S602", "S501", "S608") if c in done.stdout} == {
        *("S307", "S102", "S301", "S506", "S605", "S602", "S501", "S608")
    }


def test_p6_no_spec_can_switch_off_certificates() -> None:
    """There is no key for it in the schemas; a CA file and a proxy are the caller's."""
    for path in (ROOT / "schemas").glob("*.json"):
        text = path.read_text("utf-8").lower()
        for word in ('insecure"', '"verify', "verify_ssl", "skip_tls", '"proxy"', "ca_file", "client_cert"):
            assert word not in text, (path.name, word)


def test_rules_of_security_are_explained() -> None:
    known = rules()
    for rule in ("host-not-allowed", "host-variable", "insecure-url", "forbidden-header", "unsafe-pattern", "foreign-secret"):
        assert rule in known and len(known[rule]) > 40
