"""The commands and their options. Each command's module is imported when it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Any

EPILOG = """examples:
  llmkit demo                                        the whole library in a minute, no key needed
  llmkit chat groq/llama-3.3-70b-versatile "Say hello in Welsh"
  llmkit chat anthropic/claude-sonnet-4-5 --explain "What would be sent?"
  llmkit check my-provider.yaml                      validate a file you wrote
"""


def parser() -> argparse.ArgumentParser:
    """The argument parser of `llmkit`."""
    top = argparse.ArgumentParser(
        prog="llmkit",
        description="AI providers as data: call, inspect and check providers that exist only as YAML.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = top.add_subparsers(metavar="COMMAND", required=True, title="commands")

    def command(name: str, where: str, help: str, **options: Any) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".", **options)
        made.add_argument("--catalog", action="append", default=[], metavar="PATH", help="further spec file or folder (repeatable)")
        made.add_argument("--override", action="append", default=[], metavar="ID", help="let a file replace this packaged provider")
        made.set_defaults(run=_later(where))
        return made

    chat = command("chat", "chat.chat", "talk to a model; the answer streams to the terminal")
    chat.add_argument("model", help="provider/model, or provider:variant/model")
    chat.add_argument("prompt", nargs="*", help="the user message; read from standard input when absent")
    chat.add_argument("--system", metavar="TEXT", help="system prompt")
    chat.add_argument("--image", action="append", default=[], metavar="FILE|URL", help="attach an image (repeatable)")
    chat.add_argument("--file", action="append", default=[], metavar="FILE|URL", help="attach a document, audio or video file")
    chat.add_argument("--tool-schema", action="append", default=[], metavar="FILE", help="JSON file with a tool or a list of tools")
    chat.add_argument("--json-schema", metavar="FILE", help="JSON schema the answer must follow")
    chat.add_argument("--reasoning", metavar="EFFORT", help="none, minimal, low, medium, high, xhigh or auto")
    chat.add_argument("--max-tokens", type=int, metavar="N")
    chat.add_argument("--temperature", type=float, metavar="T")
    chat.add_argument("--param", action="append", default=[], metavar="NAME=JSON", help="any further parameter (repeatable)")
    chat.add_argument("--base-url", metavar="URL", help="address of the server; its key must then be given by --key")
    chat.add_argument("--key", action="append", default=[], metavar="[NAME=]ENV", help="environment variable with the key")
    chat.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="a variable of the provider: region, …")
    chat.add_argument("--no-stream", action="store_true", help="wait for the whole answer")
    chat.add_argument("--json", action="store_true", help="print JSON: the whole response, or one event of the stream per line")
    chat.add_argument("--explain", action="store_true", help="show what would be sent and the fate of every parameter; no network")
    chat.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help="deadline of the call (default 600)")

    embeddings = command("embeddings", "operations.embeddings", "turn texts into vectors: one JSON line each")
    embeddings.add_argument("model", help="provider/model")
    embeddings.add_argument(
        "prompt", nargs="*", metavar="text", help="the texts; read from standard input, one a line, when absent"
    )
    embeddings.add_argument("--lines", metavar="FILE", help="file with one text a line")
    embeddings.add_argument("--dimensions", type=int, metavar="N")
    embeddings.add_argument("--input-type", metavar="WORD", help="query, document, classification, clustering, similarity, …")
    embeddings.add_argument("--encoding", metavar="WORD", help="float, base64, int8, uint8, binary or ubinary")
    _single(embeddings)

    count = command("count-tokens", "operations.count_tokens", "how many tokens a message has: by the provider, or counted here")
    count.add_argument("model", help="provider/model")
    count.add_argument("prompt", nargs="*", help="the user message; read from standard input when absent")
    count.add_argument("--system", metavar="TEXT", help="system prompt")
    count.add_argument("--tokenizer", metavar="WORD", help="count here: a tiktoken encoding, a tokenizer.json, or `estimate`")
    _single(count)

    run = command("run", "run.run", "call any other operation: image, speech, transcription, rerank, search, video, …")
    run.add_argument("operation", help="name of the operation, as `llmkit providers --operation` takes it")
    run.add_argument("model", help="provider/model; the provider alone where the operation is about no model")
    run.add_argument("input", nargs="*", help="prompt, text or query, or the file or address of a sound or picture; then documents")
    run.add_argument(
        "--file", action="append", default=[], metavar="NAME=FILE|URL", help="a further file: image, mask, … (repeatable)"
    )
    run.add_argument("--param", action="append", default=[], metavar="NAME=JSON", help="any parameter (repeatable)")
    run.add_argument("--output", metavar="FILE", help="where a sound, picture, film or file goes (default: a free name here)")
    run.add_argument(
        "--stream", action="store_true", help="take the answer as it comes: pictures on their way too; --output - plays sound on"
    )
    run.add_argument("--submit", action="store_true", help="of a job: submit it, print its record and leave")
    run.add_argument("--record", metavar="FILE", help="of a job: write its record here too, once it is submitted")
    run.add_argument("--resume", metavar="FILE|KEY", help="follow the job whose record this file is, or whose key this is")
    run.add_argument("--jobs", metavar="FILE", help="store of the records of jobs (default: LLMKIT_JOBS, or the user's own)")
    _single(run)

    voices = command("voices", "voices.voices", "list the voices that a provider speaks with")
    voices.add_argument("provider", help="provider, or provider/model where voices belong to a model")
    voices.add_argument("--search", metavar="TEXT", help="only those whose name or description has this")
    voices.add_argument("--language", metavar="CODE", help="only those that speak it, as the provider writes it: de, de-DE, …")
    voices.add_argument("--gender", choices=["female", "male", "neutral"])
    voices.add_argument("--owned", action="store_true", help="only your own: cloned and designed ones")
    _single(voices)

    clone = command("clone-voice", "voices.clone_voice", "make a voice from recordings and print its id")
    clone.add_argument("provider", help="provider, or provider/model where voices belong to a model")
    clone.add_argument("name", help="what it is called")
    clone.add_argument("recording", nargs="+", metavar="FILE", help="recordings of the voice; many services take one")
    clone.add_argument("--consent", metavar="FILE|ID", help="the owner's recorded consent, where the service asks for it")
    clone.add_argument("--id", metavar="ID", help="the voice's id, where the service lets you choose it")
    clone.add_argument("--text", metavar="TEXT", help="what is said in the recording")
    clone.add_argument("--language", metavar="CODE")
    clone.add_argument("--gender", choices=["female", "male", "neutral"])
    clone.add_argument("--description", metavar="TEXT")
    clone.add_argument(
        "--label", dest="labels", action="append", default=[], metavar="NAME=TEXT", help="accent, age, … (repeatable)"
    )
    clone.add_argument("--denoise", action="store_true", help="have noise taken out of the recordings")
    _single(clone)

    unmake = command("delete-voice", "voices.delete_voice", "delete a voice that was made")
    unmake.add_argument("provider", help="provider")
    unmake.add_argument("voice", help="its id")
    _single(unmake)

    jobs = command("jobs", "jobs.jobs", "list the jobs that were submitted, or show, wait for, cancel or forget one")
    jobs.add_argument("action", nargs="?", default="list", choices=["list", "show", "wait", "cancel", "forget"])
    jobs.add_argument("job", nargs="?", metavar="KEY", help="a job's key, the beginning of it, or the provider's id")
    jobs.add_argument("--status", action="append", default=[], metavar="WORD", help="only these: submitted, done, ambiguous, …")
    jobs.add_argument("--output", metavar="FILE", help="where what it made goes")
    jobs.add_argument("--jobs", metavar="FILE", help="store of the records (default: LLMKIT_JOBS, or the user's own)")
    _single(jobs)

    live = command("realtime", "realtime.realtime", "hold one spoken exchange: a sound or a text in, sound and transcript out")
    live.add_argument("model", help="provider/model; provider:variant/model for another kind of session")
    live.add_argument("--in", dest="input", metavar="FILE", help="WAV file to say; - reads raw pcm16 from standard input")
    live.add_argument("--out", metavar="FILE", help="WAV file for what is answered")
    live.add_argument("--text", metavar="TEXT", help="say this in writing; a voice speaks it")
    live.add_argument("--microphone", action="store_true", help="speak yourself, through arecord, parec or rec")
    live.add_argument("--pace", action="store_true", help="send the file as fast as it is spoken")
    live.add_argument("--instructions", metavar="TEXT", help="the system message")
    live.add_argument("--voice", metavar="NAME")
    live.add_argument("--language", metavar="CODE")
    live.add_argument("--param", action="append", default=[], metavar="NAME=JSON", help="any other field (repeatable)")
    _single(live)

    batch = command("batch", "batch.batch", "answer a file of requests, in order, each exactly once")
    batch.add_argument("rows", metavar="ROWS", help="file of JSON lines (or .parquet): the fields of a request in each, or a text")
    batch.add_argument("--model", metavar="MODEL", help="provider/model, for rows that name none")
    batch.add_argument("--out", required=True, metavar="FILE", help="where the answers go: one JSON line for each row, in order")
    batch.add_argument("--checkpoint", metavar="FILE", help="default: the output's name with .checkpoint")
    batch.add_argument("--resume", action="store_true", help="go on where an earlier run ended, also if it was killed")
    batch.add_argument("--operation", default="chat", metavar="NAME", help="of rows that name none (default chat)")
    batch.add_argument(
        "--mode", default="local", metavar="MODE", help="local: call by call; remote: by the provider's service; auto"
    )
    batch.add_argument("--concurrency", type=int, default=16, metavar="N", help="calls at a time (default 16)")
    batch.add_argument("--param", action="append", default=[], metavar="NAME=JSON", help="a field of every row (repeatable)")
    batch.add_argument("--timeout", type=float, metavar="SECONDS", help="of a call; of a remote batch: how long to wait for it")
    batch.add_argument("--no-wait", action="store_true", help="of a remote batch: submit it and leave; --resume follows it")
    batch.add_argument(
        "--ambiguous",
        default="raise",
        metavar="again|ID",
        help="of a part that may have been submitted: the provider's id, or again",
    )
    batch.add_argument("--quiet", action="store_true", help="no progress")
    batch.add_argument("--base-url", metavar="URL", help="address of the server; its key must then be given by --key")
    batch.add_argument("--key", action="append", default=[], metavar="[NAME=]ENV", help="environment variable with the key")
    batch.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="a variable of the provider: region, …")
    batch.add_argument("--json", action="store_true", help="print the summary as JSON")

    providers = command("providers", "listing.providers", "list the providers of the catalog")
    providers.add_argument("--category", metavar="WORD", help="only providers of this category")
    providers.add_argument("--region", metavar="WORD", help="only providers that serve from this region")
    providers.add_argument("--operation", metavar="NAME", help="only providers with this operation")
    providers.add_argument("--capability", action="append", default=[], metavar="FLAG", help="only with this flag (repeatable)")
    providers.add_argument("--status", metavar="WORD", help="active, beta, discontinued, …")
    providers.add_argument("--local", action="store_true", help="look which servers of your own answer, and with which models")
    providers.add_argument("--json", action="store_true")

    models = command("models", "listing.models", "list known models with their windows and prices (USD per million tokens)")
    models.add_argument("provider", nargs="?", help="only this provider; provider/model shows everything known of one")
    models.add_argument("--search", metavar="TEXT", help="only with this piece of text in the name")
    models.add_argument("--operation", metavar="NAME", help="only for this operation")
    models.add_argument("--input", action="append", default=[], metavar="WORD", help="only what reads this: text, image, audio, …")
    models.add_argument("--output", action="append", default=[], metavar="WORD", help="only what writes this (repeatable)")
    models.add_argument("--capability", action="append", default=[], metavar="FLAG", help="only with this flag (repeatable)")
    models.add_argument("--context", type=int, metavar="N", help="only with a window of at least so many tokens")
    models.add_argument("--max-price", type=float, metavar="USD", help="only up to this price of a million input tokens")
    models.add_argument("--deprecated", choices=["no", "only"], help="no: served today; only: given up or retired")
    models.add_argument("--live", action="store_true", help="only what the provider lists now, and as it tells them")
    _single(models)

    show = command("show", "show.show", "print a provider or dialect file, as written or resolved")
    show.add_argument("name", help="id of a provider or dialect; provider/model and provider:variant apply patches")
    show.add_argument("--resolved", action="store_true", help="with everything it inherits")
    show.add_argument("--origin", action="store_true", help="with the file and line of every value (implies --resolved)")

    check = command("check", "check.check", "validate spec files: syntax, schema, meaning and examples")
    check.add_argument("names", nargs="*", metavar="FILE|ID", help="files or ids; the whole catalog when absent")
    check.add_argument("--format", choices=["text", "json", "github"], default="text")
    check.add_argument("--no-examples", action="store_true", help="skip step 6")
    check.add_argument("--no-cache", action="store_true", help="run examples even if the same bytes passed before")
    check.add_argument("--laws", action="store_true", help="also try random values in both directions of what is served")
    check.add_argument("--count", type=int, default=100, metavar="N", help="checks of each law on each file (default 100)")
    check.add_argument("--seed", type=int, default=0, metavar="N", help="other random values; the same seed tries the same")

    explain = command("explain", "check.explain", "explain a rule of `llmkit check`")
    explain.add_argument("rule", nargs="?", help="name in brackets of a message; all rules when absent")

    render = command("render", "wire.render", "render a request as HTTP without sending it (JSON in, JSON out)")
    render.add_argument("model", help="provider/model")
    render.add_argument("input", nargs="?", default="-", help="file with the request fields as JSON; - is standard input")
    render.add_argument("--operation", default="chat")

    read = command("read", "wire.read", "read a recorded reply through a spec")
    read.add_argument("model", help="provider/model")
    read.add_argument("input", nargs="?", default="-", help="file with the reply's body; - is standard input")
    read.add_argument("--operation", default="chat")
    read.add_argument("--status", type=int, default=200)
    read.add_argument("--header", action="append", default=[], metavar="NAME:VALUE")
    read.add_argument("--stream", action="store_true", help="the body is a stream")

    new = command("new", "new.new", "write a provider file to start from")
    new.add_argument("id", help="id of the provider: small letters, digits, hyphens")
    new.add_argument("--dialect", default="openai-chat", help="dialect of its chat (default openai-chat)")
    new.add_argument("--base-url", default="https://api.example.com/v1")
    new.add_argument("--name", help="display name")
    new.add_argument("--output", default="-", metavar="FILE", help="file to write; - is standard output")

    sim = command("sim", "simulate.sim", "run a stand-in for any provider on loopback")
    sim.add_argument("--port", type=int, default=8089)
    sim.add_argument("--script", metavar="FILE", help="YAML or JSON with what is said (see engine.serve.script)")
    sim.add_argument("--fault", action="append", default=[], metavar="NAME", help="spoil answers in this way (repeatable)")
    sim.add_argument("--list-faults", action="store_true", help="print every fault that has a name, and exit")
    sim.add_argument("--pace", type=float, metavar="N", help="tokens per second (default: at once)")
    sim.add_argument("--latency", type=float, metavar="SECONDS", help="wait before the first byte")
    sim.add_argument("--echo", action="store_true", help="in sessions give every piece of sound straight back")

    serve = command("serve", "serve.serve", "run the gateway: clients of any wire format in front of any provider")
    serve.add_argument("--config", metavar="FILE", help="llmkit.yaml with keys, aliases and settings of providers")
    serve.add_argument("--listen", metavar="HOST:PORT", help="default 127.0.0.1:4000; other hosts need client keys")
    serve.add_argument("--port", type=int, metavar="N", help="the port alone")

    route = command("route", "routing.route", "tell what a route would choose, or replay a log of routed calls: why, and what if")
    route.add_argument("name", nargs="?", help="name of a route of the configuration")
    route.add_argument("prompt", nargs="*", help="the user message")
    route.add_argument("--config", metavar="FILE", help="llmkit.yaml with routes and settings of providers")
    route.add_argument("--replay", metavar="LOG", help="file that `route_log` wrote")
    route.add_argument("--policy", action="append", default=[], metavar="WORD", help="what if this policy decided (repeatable)")
    route.add_argument("--without", action="append", default=[], metavar="TARGET", help="what if this target were not there")
    route.add_argument("--set", action="append", default=[], metavar="TARGET:KEY=VALUE", help="what if its state had been this")
    route.add_argument("--ask", action="append", default=[], metavar="KEY=VALUE", help="what if the request had asked this")
    route.add_argument("--json", action="store_true")

    health = command("health", "routing.health", "ask targets whether they are there")
    health.add_argument("names", nargs="*", metavar="MODEL|ROUTE", help="provider/model or a route; all routes when absent")
    health.add_argument("--config", metavar="FILE", help="llmkit.yaml with routes and settings of providers")
    health.add_argument("--call", action="store_true", help="ask for some tokens, in place of the free list of models")
    health.add_argument("--json", action="store_true")

    stats = command("stats", "stats.stats", "latency, tokens, cost, errors and cache hits of the calls in a journal")
    stats.add_argument("journal", nargs="?", metavar="FILE", help="what Client(journal=…) wrote; default: LLMKIT_JOURNAL")
    stats.add_argument("--by", default="provider", metavar="WORD", help="provider (default), model, operation, route, tenant, …")
    stats.add_argument("--since", metavar="TIME", help="only calls since then: 24h, 30m, 7d ago, or 2026-11-20 (UTC)")
    stats.add_argument("--until", metavar="TIME", help="only calls before then")
    stats.add_argument("--png", metavar="FILE", help="draw a picture too (extra [plot])")
    stats.add_argument("--json", action="store_true")

    cache = command("cache", "cache.cache", "show how much is kept of answers, or forget it")
    cache.add_argument("action", choices=["stats", "clear"])
    cache.add_argument("--store", metavar="FILE|URL", help="SQLite file or Redis; default: the file in your cache folder")
    cache.add_argument("--config", metavar="FILE", help="llmkit.yaml with `cache`")
    cache.add_argument("--tenant", metavar="NAME", help="of clear: only what this tenant was told")
    cache.add_argument("--json", action="store_true")

    demo = command("demo", "demo.demo", "hold one conversation over eight wire formats; no key needed")
    demo.add_argument("models", nargs="*", metavar="MODEL", help="provider/model to hold it with for real, instead of stand-ins")
    demo.add_argument("--json", action="store_true")
    return top


def _single(command: argparse.ArgumentParser) -> None:
    """The options of a command that makes one call."""
    command.add_argument("--base-url", metavar="URL", help="address of the server; its key must then be given by --key")
    command.add_argument("--key", action="append", default=[], metavar="[NAME=]ENV", help="environment variable with the key")
    command.add_argument(
        "--setting", action="append", default=[], metavar="NAME=VALUE", help="a variable of the provider: region, …"
    )
    command.add_argument("--json", action="store_true")
    command.add_argument("--explain", action="store_true", help="show what would be sent; no network")
    command.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help="deadline of the call (default 600)")


def _later(where: str) -> Callable[[argparse.Namespace], int]:
    module, _, name = where.partition(".")

    def run(arguments: argparse.Namespace) -> int:
        return int(getattr(import_module(f"engine.cli.{module}"), name)(arguments) or 0)

    return run


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from engine import __version__

        print(f"llmkit {__version__}")
        parser.exit()
