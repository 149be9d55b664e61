"""The wheel: what is in it; it works from any directory, with the catalog packed beside the YAML (ARCHITECTURE, Speed)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 3 * 1024 * 1024  # bytes
COMPILERS = {"jinja2", "yaml", "jmespath", "jsonschema"}
SHIPPED = {"engine": "engine", "catalog": "engine/_data/catalog", "schemas": "engine/_data/schemas"}


def tracked() -> list[str]:
    """Files that git knows and that are there. Without a git checkout there is nothing to compare a wheel with."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("no git checkout: the wheel cannot be compared with the tracked files")
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the tracked files, built by pip in an environment of its own."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "-w", str(out), "-q", "--disable-pip-version-check"]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode and ("No matching distribution" in done.stderr or "Connection" in done.stderr):
        pytest.skip("no package index in reach: the wheel cannot be built")
    assert not done.returncode, done.stderr
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed in it, and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check", "--target", str(target)]
    subprocess.run([*command, str(wheel)], capture_output=True, text=True, timeout=300, check=True)
    return target


def run(installed: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python process far from the checkout, with the installed package in front."""
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1", "HOME": "/nonexistent", **environment}
    return subprocess.run([sys.executable, *words], cwd="/", env=given, capture_output=True, text=True, timeout=120, check=False)


def test_a_wheel_holds_the_tracked_files_and_the_packed_catalog(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = set()
    for name in tracked():
        folder, _, rest = name.partition("/")
        if folder in SHIPPED and rest:
            expected.add(f"{SHIPPED[folder]}/{rest}")
    packed = {name for name in names if name.startswith("engine/_data/packed/")}
    assert names - packed == expected
    kinds = [f"{Path(name).parent.name}/{Path(name).stem}" for name in packed]
    specs = {name for name in expected if name.endswith(".yaml") and ".examples." not in name and "/_data/catalog/" in name}
    assert {f"{Path(name).parent.name}/{Path(name).stem}" for name in specs} >= set(kinds) and len(kinds) >= 20


def test_a_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size <= LIMIT


def test_it_works_from_any_directory(installed: Path) -> None:
    listed = run(installed, "-m", "engine", "providers", "--json")
    assert listed.returncode == 0 and len(json.loads(listed.stdout)) >= 20, listed.stderr
    where = run(installed, "-c", "import engine; print(engine.__file__)")
    assert where.stdout.startswith(str(installed))
    assert run(installed, str(installed / "bin" / "llmkit"), "--version").stdout.startswith("llmkit ")
    assert run(installed, "-m", "engine", "check", "groq", "--no-cache").returncode == 0
    shown = run(installed, "-m", "engine", "demo")
    assert shown.returncode == 0 and "32 steps, none failed" in shown.stdout, shown.stderr


def test_the_packed_catalog_spares_every_compiler(installed: Path) -> None:
    code = (
        "import sys; from engine.cli import main; "
        "code = main(['chat', TARGET, 'hi', '--explain', '--temperature', '0.3']); "
        f"print(sorted({COMPILERS!r} & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    for target in ("groq/m", "anthropic/m", "google-gemini/m", "openai:responses/m", "azure-openai/m"):
        given = {"ANTHROPIC_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com"}
        done = run(installed, "-c", code.replace("TARGET", repr(target)), **given)
        assert done.returncode == 0 and json.loads(done.stdout)["body"], done.stderr
        assert done.stderr.strip() == "[]", f"{target} loaded {done.stderr}"
