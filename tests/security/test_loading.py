"""A spec from anywhere can be loaded: it costs little, opens nothing, and what is wrong with it is a typed error (A3, A9, P2)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.cli import main
from engine.errors import ConfigError, Error, SpecError
from tests.security.strangers import BARE, CHAT, HEAD, HOST, client, local, stranger

KIB = 1024
DEEP = 25_000  # levels at which a C parser that recurses ends the process

BOMBS: dict[str, str] = {
    "brackets": "a: " + "[" * DEEP,
    "closed brackets": "a: " + "[" * DEEP + "]" * DEEP,
    "braces": "a: " + "{a: " * DEEP,
    "dashes": "- " * DEEP,
    "questions": "? " * DEEP,
    "indentation": "\n".join(" " * n + "a:" for n in range(400)),
    "dashes and brackets": "- [" * 1000,
    "aliases": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12)),
    "merge keys": "a: &a {b: 1}\nc: {<<: *a}\n",
    "self": "a: &a [*a]\n",
    "tags": "a: !!python/object/apply:os.system [id]\n",
    "binary": "a: !!binary aGk=\n",
    "local tag": "a: !x y\n",
    "directive": "%TAG ! tag:yaml.org,2002:python/\n---\na: 1\n",
    "documents": "a: 1\n---\nb: 2\n",
    "duplicates": "a: 1\na: 2\n",
    "nul": "a: \0\n",
    "nodes": "a: [" + "1," * 30_000 + "1]\n",
    "large": "a: " + "x" * (300 * KIB),
    "spaces": "a" + " " * (60 * KIB),
    "more spaces": "a" + " " * (250 * KIB),
    "colons": "a:" * (30 * KIB),
    "lines of dashes": "-\n" * (30 * KIB),
    "empty lines": "\n" * (60 * KIB),
    "quotes": '"\\' * (30 * KIB),
    "open quote": '"' + "a" * (60 * KIB),
    "comments": "#" * (60 * KIB),
    "block": "a: |\n" + " x\n" * (20 * KIB),
    "octal": "a: 0777\n",
    "sexagesimal": "a: 1:30\n",
    "huge number": "a: " + "9" * 60_000 + "\n",
    "float": "a: 1e99999\n",
    "not a number": "a: .nan\n",
    "date": "a: 2026-01-01\n",
    "surrogate": 'a: "\\ud800"\n',
    "empty": "",
    "scalar": "x",
    "list": "[1]",
    "byte order marks": "\ufeff" * 1000 + "a: 1",
    "unknown key": HEAD + CHAT + "surprise: 1\n",
    "unknown key in a call": HEAD + "chat: {post: /x, response: {text: text}, exec: id}\n",
}


def spent(text: str, door: str) -> tuple[float, Error | None]:
    """CPU seconds of a spec's way in, and the typed error it ends in."""
    start = time.process_time()
    try:
        made, _ = client(stranger(text) if door == "remote" else local(text))
        made.operation("stranger/m").render(messages=[{"role": "user", "content": "hi"}])
    except Error as error:
        return time.process_time() - start, error
    return time.process_time() - start, None


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("door", ["remote", "local"])
def test_a3_hostile_yaml_is_a_typed_error_and_cheap(name: str, door: str) -> None:
    seconds, error = spent(BOMBS[name], door)
    assert isinstance(error, ConfigError) or (door == "local" and "unknown key" in name), (name, error)
    assert seconds < 2, f"{name}: {seconds:.2f} s"
    if error is not None:
        assert len(str(error)) <= 2200


@pytest.mark.parametrize("name", BOMBS)
def test_a3_the_check_survives_them_too(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "stranger.yaml"
    path.write_bytes(BOMBS[name].encode())
    start = time.process_time()
    assert main(["check", str(path)]) in (1, 2)
    assert time.process_time() - start < 3
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err


def test_a3_mappings_have_the_same_limits() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = {"a": deep}
    endless: dict[str, Any] = {}
    endless["a"] = endless
    for bad in (deep, endless, {"a": [1] * 30_000}, {"a": object()}, {"a": {1.5: 2}}, {"a": b"x"}, {(1, 2): 3}):
        for source in (stranger(bad), {"stranger": bad}):  # type: ignore[arg-type]
            made, _ = client(source)
            with pytest.raises(ConfigError):
                made.operation("stranger/m")


def test_a3_nobody_is_harmed_by_a_broken_neighbour() -> None:
    """One spec that cannot be read leaves the others usable, also by their aliases."""
    catalog = engine.Catalog([stranger("{", id="aaa"), stranger(BOMBS["brackets"], id="bbb")])
    assert catalog.resolve("groq") == "groq"
    with pytest.raises(SpecError):
        catalog.operation("aaa/m")
    with pytest.raises(engine.errors.NotFoundError):
        catalog.resolve("no-such-provider")


LARGEST: dict[str, str] = {
    "texts": "  body:\n" + "".join(f'    k{i}: "{{{{ model }}}} {i}"\n' for i in range(1400)),
    "holes": "  body:\n" + "".join(f'    k{i}: "' + "{{ model }}x" * 20 + '"\n' for i in range(200)),
    "expressions": "  body:\n" + "".join(f'    k{i}: "{{{{ {" ~ ".join(["model"] * 60)} }}}}"\n' for i in range(90)),
    "cases": "  body: {k: {$switch: model, " + ", ".join(f'a{i}|b{i}: "{{{{ model }}}}"' for i in range(1200)) + "}}\n",
    "events": "  stream: {match: t, events: {" + ", ".join(f"e{i}: {{text: a.b}}" for i in range(1200)) + "}}\n",
    "tables": "  tables: {t: {" + ", ".join(f"k{i}: {i}" for i in range(1400)) + "}}\n",
}
GLOBS = "models:\n" + "".join(f'  "{"*a" * 20}{i}*": {{chat: {{timeout: 1}}}}\n' for i in range(600))


@pytest.mark.parametrize("name", [*LARGEST, "globs"])
def test_a9_the_largest_spec_of_a_stranger_is_compiled_in_little_time(name: str) -> None:
    """A9: about 100 ms on a fast machine; the bound here leaves room for a slow one."""
    client(stranger())[0].operation("stranger/m")  # what is imported once is not the spec's
    text = HEAD + "chat:\n  post: /x\n" + BARE + (GLOBS if name == "globs" else LARGEST[name])
    start = time.process_time()
    try:
        client(stranger(text))[0].operation("stranger/m")
    except SpecError:
        pass
    assert time.process_time() - start < 1.5


@pytest.mark.parametrize("name", LARGEST)
def test_a9_the_largest_spec_takes_little_memory(name: str) -> None:
    """A9: 64 MiB at most, counted at its peak."""
    client(stranger())[0].operation("stranger/m")
    tracemalloc.start()
    try:
        client(stranger(HEAD + "chat:\n  post: /x\n" + BARE + LARGEST[name]))[0].operation("stranger/m")
    except SpecError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 64 * 1024 * KIB


def test_a9_more_than_that_is_refused() -> None:
    body = "".join(f"    k{i}: v\n" for i in range(3000))
    for text in (HEAD + "chat:\n  post: /x\n" + BARE + "  body:\n" + body, HEAD + CHAT + "#" * 70_000):
        with pytest.raises(SpecError):
            client(stranger(text))[0].operation("stranger/m")


WATCHED = """
import json, sys
sys.path.insert(0, {root!r})
import engine
seen = []
def watch(event, args):
    if event in ("open", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect",
                 "socket.getaddrinfo", "socket.bind", "os.listdir", "os.remove", "os.rename", "ctypes.dlopen", "shutil.copyfile"):
        seen.append([event, str(args[0])])
    elif event == "import":
        seen.append([event, str(args[0])])
import engine.catalog, engine.client
sys.addaudithook(watch)
text = {text!r}
client = engine.Client(catalog=[engine.remote(text, id="stranger", hosts=[{host!r}])], providers={{"stranger": {{"api_key": "k"}}}})
try:
    client.operation("stranger/m").render(messages=[{{"role": "user", "content": "hi"}}])
    print("rendered", file=sys.stderr)
except engine.Error as error:
    print(error, file=sys.stderr)
import threading
print(json.dumps([seen, threading.active_count()]))
"""
NOSY = (
    HEAD.replace("name: Stranger", "name: ../../../etc/passwd")
    + """
docs: file:///etc/passwd
variables: {home: {env: HOME}, path: {default: /etc/passwd}}
chat:
  post: /x
  response: {text: text}
  body: {a: "{{ path }}", b: "{{ home }}", c: "{% include '/etc/passwd' %}"}
"""
)


@pytest.mark.parametrize(
    "text", [HEAD + CHAT, NOSY, HEAD + "chat: {extends: ../../../etc/passwd}\n", "extends: /etc/passwd\n" + HEAD]
)
def test_a9_loading_opens_its_own_files_only(text: str) -> None:
    """A9: no file but its own and those it extends, no socket, no process, nothing imported by a name the spec gives."""
    root = Path(engine.__file__).parents[1]
    code = WATCHED.format(root=str(root), text=text, host=HOST)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    seen, threads = json.loads(done.stdout)
    assert threads == 1
    homes = tuple(str(p) for p in (root, *(Path(p) for p in sys.path if p), Path(sys.prefix), Path(sys.base_prefix)))
    for event, what in seen:
        assert event in ("open", "import", "os.listdir", "ctypes.dlopen"), (event, what)
        if event == "open":
            assert what.startswith(homes), what
        assert "passwd" not in what
        assert event != "import" or not what.startswith(("socket", "subprocess", "ssl", "httpx", "aiohttp"))


IMPORTED = """
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append((event, str(args[:1]))) if event.split(".")[0] in
                 ("socket", "subprocess", "os", "open", "urllib", "ctypes", "http", "shutil") else None)
sys.path.insert(0, {root!r})
before = set(sys.modules)
import engine
loaded = sorted(m for m in set(sys.modules) - before if "." not in m and m != "engine")
opened = [a for e, a in seen if e == "open"]
rest = sorted({{e for e, a in seen if e not in ("open", "os.listdir", "os.scandir")}})
import json, threading
print(json.dumps([loaded, opened, rest, threading.active_count()]))
"""


def test_p2_import_reads_nothing_and_starts_nothing() -> None:
    root = str(Path(engine.__file__).parents[1])
    done = subprocess.run([sys.executable, "-I", "-c", IMPORTED.format(root=root)], capture_output=True, text=True, check=True)
    loaded, opened, rest, threads = json.loads(done.stdout)
    assert threads == 1 and not rest
    assert set(loaded) <= set(sys.stdlib_module_names)
    assert not {"socket", "ssl", "asyncio", "threading", "subprocess", "http", "urllib"} & set(loaded)
    package = str(Path(root) / "engine")
    stdlib = str(Path(json.__file__).parents[1])
    assert all(package in path or stdlib in path for path in opened), opened
