"""Rebuilds catalog/models/ from the gathered model facts: python tools/models.py [SHARED] [--check]

SHARED (default ../shared) holds models/<provider>.yaml and models/others.jsonl; a file is written for every provider of the
catalog that has facts there. Prints what changed. With --check nothing is written and a stale file is a failure.

What is taken: the value at the top of a record (its README says how it was chosen), with every conflict beside it. What is
not: prices that cannot be right, prices of zero that may as well mean "unknown" or "included in a plan", limits on the output
that only repeat the window, and units that no counter of an answer measures.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
CHECKED = "2026-11-20"
SOURCES = {
    "litellm": ("L", "LiteLLM 1.109.1, model price map"),
    "models_dev": ("M", "models.dev, 2026-07-02 (f3fc692)"),
    "llmkit": ("K", "LLMKit registry, 2026-01-12"),
}
#: kind of a record -> operation; kinds that are no model one can call are left out
OPERATIONS = {
    None: "chat", "chat": "chat", "responses": "chat", "completions": "completion", "embeddings": "embeddings", "rerank": "rerank",
    "images": "image", "image_edit": "image_edit", "video": "video", "speech": "speech", "transcription": "transcription",
    "realtime": "realtime", "moderation": "moderation", "ocr": "ocr", "search": "search",
}  # fmt: skip
CAPABILITIES = "stream tools parallel_tools vision json_schema thinking web_search prompt_cache prefill system".split()
#: rate of a record -> rate of the catalog; USD per million tokens on both sides
TOKENS = {
    "input": "input", "output": "output", "cache_read": "cache_read", "cache_write": "cache_write",
    "cache_write_1h": "cache_write_1h", "reasoning": "reasoning", "audio_in": "audio_input", "audio_out": "audio_output", "image_in": "image_input",
    "image_out": "image_output",
}  # fmt: skip
#: the same for other units, the first that is stated; searches are priced per thousand, see `_rates`
UNITS = {
    "image": ("per_image_out", "per_image_in"),
    "second": ("per_second_out", "per_second_in", "per_video_second_out", "per_audio_second_in"),
    "thousand_characters": ("per_1k_chars_in", "per_1k_chars_out"),
    "page": ("per_page",),
    "search": ("per_query",),
}
BY = {"image_by": ("per_image_out_by", "size"), "second_by": ("per_second_out_by", "resolution")}
SERVICE_TIERS = ("flex", "priority", "ultrafast", "balanced", "decisions")
#: a tier begins above its line, at these providers from the line on
FROM_THE_LINE = ("xai",)


class Report:
    """What was left out, counted by reason."""

    def __init__(self) -> None:
        self.left = Counter[str]()

    def leave(self, reason: str) -> None:
        """Count one thing that is not carried."""
        self.left[reason] += 1


# --- reading ------------------------------------------------------------------------------------------------------------


@lru_cache
def read_yaml(text: str) -> Any:
    """What a YAML text says, read by the fast loader where there is one."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe


def records(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """provider id -> records, of every provider that has any."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.yaml")):
        found[path.stem] = list((read_yaml(path.read_text("utf-8")) or {}).get("models") or ())
    for line in (folder / "others.jsonl").read_text("utf-8").splitlines():
        record = json.loads(line)
        found.setdefault(record["provider"], []).append(record)
    return {id: listed for id, listed in found.items() if listed}


# --- one model ----------------------------------------------------------------------------------------------------------


def facts(record: Mapping[str, Any], provider: str, report: Report) -> dict[str, Any] | None:
    """The catalog's facts of one record; None for what is no model."""
    operation = OPERATIONS.get(record.get("kind"))
    if operation is None:
        report.leave(f"not a model one calls: {record.get('kind')}")
        return None
    made: dict[str, Any] = {}
    if operation != "chat":
        made["operations"] = [operation]
    if record.get("aliases"):
        made["aliases"] = list(record["aliases"])
    suspect = " ".join(record.get("suspect") or ())
    context, longest = record.get("context"), record.get("max_output")
    if context and "context" not in suspect.replace("above context", ""):
        made["max_input" if record.get("context_basis") == "max_input" else "context"] = context
    if record.get("max_input") and "max_input" not in made:
        made["max_input"] = record["max_input"]
    if longest and context and longest >= context and operation == "chat":
        report.leave("an output limit that repeats the window")
    elif longest:
        made["max_output"] = longest
    for side in ("input", "output"):
        words = [w for w in record.get(side) or () if w != "code"]
        if words and (side == "input" or words != ["text"]):
            made[side] = Words(words)
    if record.get("vector_size"):
        made["dimensions"] = record["vector_size"]
    caps = record.get("caps") or {}
    flags = [(flag, caps[flag]) for flag in CAPABILITIES if flag in caps]
    if flags:
        made["capabilities"] = Words(flag if value else f"-{flag}" for flag, value in flags)
    found = price(record, provider, suspect, report)
    if found:
        made["price"] = found
    if len(record.get("released") or "") == 10:
        made["released"] = record["released"]
    if record.get("status") in ("deprecated", "legacy"):
        made["deprecated"] = True
    if record.get("retires"):
        made["retires"] = record["retires"]
    if codes(record) != "":
        made["sources"] = Words(codes(record))
    disputed = conflicts(record)
    if disputed:
        made["conflicts"] = disputed
    return made


def codes(record: Mapping[str, Any]) -> str:
    """The short names of a record's sources."""
    return "".join(SOURCES[s][0] for s in record["sources"])


def conflicts(record: Mapping[str, Any]) -> dict[str, Any]:
    """Field -> source -> what it says, and why where that is plain. The fact itself is the value that was chosen."""
    made: dict[str, Any] = {}
    for field, said in (record.get("conflicts") or {}).items():
        if field == "litellm_itself":
            made[field.partition("_")[0]] = {"L": "prices one model twice", "why": "the first is not this provider's"}
            continue
        made[field] = {(SOURCES[k][0] if k in SOURCES else "why"): _said(v) for k, v in said.items()}
    for flag, said in (record.get("differs") or {}).items():
        if flag in CAPABILITIES:
            made[f"capabilities.{flag}"] = {SOURCES[k][0]: v for k, v in said.items()}
    return made


def _said(value: Any) -> Any:
    return [_tier(tier, 0) for tier in value] if isinstance(value, list) else value


# --- prices -------------------------------------------------------------------------------------------------------------


def price(record: Mapping[str, Any], provider: str, suspect: str, report: Report) -> dict[str, Any] | None:
    """The price in the catalog's terms, or None where there is none that can be trusted."""
    given = record.get("price")
    if not given:
        return None
    if "price" in suspect:
        report.leave("a price that cannot be right")
        return None
    if record.get("billing") == "subscription":
        report.leave("a price of zero that means: included in a plan")
        return None
    agreed = len(set(record["sources"]) & {"litellm", "models_dev"}) == 2 and "price.input" not in (record.get("conflicts") or {})
    if not _positive(given) and not agreed and "free" not in record["id"].lower():
        report.leave("a price of zero that may mean: unknown")
        return None
    step = 1 if provider in FROM_THE_LINE else 0
    made = _group(given, step, report)
    if given.get("batch"):
        made["batch"] = _group(given["batch"], step, report)
    tiers = {name: given[name] for name in SERVICE_TIERS if name in given} | (given.get("modes") or {})
    made["service_tiers"] = {name: _group(rates, step, report) for name, rates in tiers.items()}
    made["regions"] = {region: _group(rates, step, report) for region, rates in (record.get("regional") or {}).items()}
    made["off_peak"] = _off_peak(given.get("off_peak"), step, report)
    factors = dict(given.get("multiply") or {})
    if "fast" in factors:
        factor = Decimal(str(factors.pop("fast")))
        made["service_tiers"].setdefault("fast", {k: v * factor for k, v in made.items() if isinstance(v, Decimal)})
    made["factors"] = {{"regional_endpoint": "regional"}.get(k, k): number(v) for k, v in factors.items() if "images" not in k}
    return {k: v for k, v in made.items() if v or v == 0} or None


def _group(given: Mapping[str, Any], step: int, report: Report) -> dict[str, Any]:
    """Rates and tiers of the price itself or of one of its groups."""
    made = _rates(given, report)
    if given.get("tiers"):
        made["tiers"] = [_tier(tier, step) for tier in given["tiers"]]
    return made


def _tier(given: Mapping[str, Any], step: int) -> dict[str, Any]:
    return {"above": given["above_input_tokens"] - step, **_rates(given, None)}


def _rates(given: Mapping[str, Any], report: Report | None) -> dict[str, Any]:
    made: dict[str, Any] = {new: number(given[old]) for old, new in TOKENS.items() if old in given}
    for unit, names in UNITS.items():
        stated = next((given[name] for name in names if name in given), None)
        if stated is not None:
            made[unit] = number(stated)
    per_thousand = given.get("per_1k_searches") or {}
    if len(set(per_thousand.values())) == 1:
        made["search"] = number(next(iter(per_thousand.values()))) / 1000
    elif per_thousand:
        made["search_by"] = [{"search_context_size": size, "usd": number(usd) / 1000} for size, usd in per_thousand.items()]
    if given.get("per_image_by"):
        keys = ("quality", "size", "steps")
        made["image_by"] = [{**{k: e[k] for k in keys if k in e}, "usd": number(e["usd"])} for e in given["per_image_by"]]
    for name, (old, option) in BY.items():
        if given.get(old):
            made.setdefault(name, [{option: key, "usd": number(usd)} for key, usd in given[old].items()])
    if report is not None:
        known = {*TOKENS, *SERVICE_TIERS, "tiers", "batch", "modes", "off_peak", "multiply", "per_1k_searches", "per_image_by"}
        known |= {old for names in UNITS.values() for old in names} | {old for old, _ in BY.values()} | {"windows", "retires"}
        for key in given.keys() - known:
            report.leave(f"a rate that no counter measures: {key}")
    return made


def _off_peak(given: Mapping[str, Any] | None, step: int, report: Report) -> dict[str, Any] | None:
    if not given:
        return None
    windows = []
    for window in given["windows"]:
        hours = window["hours_utc"]
        windows.append({"days": window["weekdays"], "hours": [hours] if isinstance(hours, str) else hours})
    return {**_group(given, step, report), "windows": windows}


def number(value: Any) -> Decimal:
    """A rate as it was written; binary floats have one shortest decimal, which is what was written."""
    return Decimal(str(value))


def _positive(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_positive(v) for v in value.values())
    if isinstance(value, list):
        return any(_positive(v) for v in value)
    return isinstance(value, (int, float)) and value > 0


# --- one file -----------------------------------------------------------------------------------------------------------


class Words(list[str]):
    """A list of words that is written as one text."""


def file(provider: str, listed: Iterable[Mapping[str, Any]], variants: Iterable[str], report: Report) -> str | None:
    """The text of catalog/models/<provider>.yaml; None if nothing is known."""
    wanted = {name: name for name in variants} | {f"{provider}-{name}": name for name in variants}
    parts: dict[str, dict[str, dict[str, Any]]] = {"": {}}
    kept: list[Mapping[str, Any]] = []
    for record in listed:
        variant = record.get("variant") or ""
        if variant and variant not in wanted:
            report.leave("a model of a variant the provider does not have here")
            continue
        made = facts(record, provider, report)
        if made is not None:
            kept.append(record)
            parts.setdefault(wanted.get(variant, ""), {}).setdefault(record["id"], made)
    if not kept:
        return None
    used = {s for record in kept for s in record["sources"]}
    everywhere = {codes(record) for record in kept}
    lines = ["# Generated by tools/models.py; corrections belong into the facts it reads.", f'checked: "{CHECKED}"', "sources:"]
    lines += [f"  {code}: {flow(text)}" for source, (code, text) in SOURCES.items() if source in used]
    for variant, models in parts.items():
        if not models:
            continue
        indent = "  " if not variant else "    "
        if variant and "variants:" not in lines:
            lines.append("variants:")
        lines.append("models:" if not variant else f"  {scalar(variant)}:")
        for id, made in sorted(models.items()):
            if len(everywhere) == 1 and len(next(iter(everywhere))) == 1:
                made.pop("sources", None)  # the one that stands at the top
            lines.append(f"{indent}{scalar(id)}: {flow(made)}")
    return "\n".join(lines) + "\n"


_PLAIN = re.compile(r"-?[A-Za-z_][A-Za-z0-9_./@+()-]*(?: -?[A-Za-z0-9_./@+()-]+)*")
_WORDS = frozenset("true false null yes no on off y n".split())


def scalar(text: str) -> str:
    """A text as YAML writes it inside a flow mapping."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else json.dumps(text, ensure_ascii=False)


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Words):
        return scalar(" ".join(value))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(str(k))}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, (int, float, Decimal)):
        text = f"{Decimal(str(value)):f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return scalar(str(value))


# --- all files ----------------------------------------------------------------------------------------------------------


def build(shared: Path, report: Report) -> Iterator[tuple[Path, str]]:
    """Every file as it should be, by its path."""
    known = records(shared / "models")
    for path in sorted((ROOT / "catalog" / "providers").glob("*.yaml")):
        id = path.name.removesuffix(".yaml")
        if not id.endswith(".examples") and id in known:
            variants = (read_yaml(path.read_text("utf-8")) or {}).get("variants") or {}
            text = file(id, known[id], list(variants), report)
            if text is not None:
                yield ROOT / "catalog" / "models" / f"{id}.yaml", text


def changes(old: str, new: str) -> Iterator[str]:
    """What differs between two versions of a file, one line per model."""
    before, after = (_models(text) for text in (old, new))
    yield from (f"- {id}" for id in sorted(before.keys() - after.keys()))
    yield from (f"+ {id}" for id in sorted(after.keys() - before.keys()))
    for id in sorted(before.keys() & after.keys()):
        was, now = before[id], after[id]
        differing = [k for k in dict.fromkeys([*was, *now]) if was.get(k) != now.get(k)]
        if differing:
            yield f"~ {id}: " + "; ".join(f"{k} {flow(was.get(k, 'unknown'))} -> {flow(now.get(k, 'unknown'))}" for k in differing)


def _models(text: str) -> dict[str, dict[str, Any]]:
    return dict((read_yaml(text) or {}).get("models") or {}) if text else {}


def main(arguments: list[str]) -> int:
    """Write the files, or with --check only compare. 1 if something is stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", nargs="?", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if a file is stale")
    given = parser.parse_args(arguments)
    shared, check = given.shared, given.check
    report, stale, size, count = Report(), 0, 0, 0
    wanted = dict(build(shared, report))
    for path, text in wanted.items():
        old = path.read_text("utf-8") if path.is_file() else ""
        size, count = size + len(text), count + 1
        if old == text:
            continue
        stale += 1
        print(path.relative_to(ROOT), *(f"  {line}" for line in changes(old, text)), sep="\n")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    for path in sorted((ROOT / "catalog" / "models").glob("*.yaml")):
        if path not in wanted:
            stale += 1
            print(f"{path.relative_to(ROOT)}\n  no facts of this provider any more")
            if not check:
                path.unlink()
    print(f"{count} files, {size:,} bytes; {stale} {'stale' if check else 'written'}", file=sys.stderr)
    for reason, number_of in sorted(report.left.items(), key=lambda item: -item[1]):
        print(f"  left out {number_of:>5}: {reason}", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
