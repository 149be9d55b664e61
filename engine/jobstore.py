"""The records of jobs in a SQLite file: written before a job is submitted, found again after any restart (RELIABILITY J1).

    client = engine.Client(jobs=True)                     # the user's own store; or jobs="jobs.sqlite"
    job = client.video.submit("replicate/owner/model", "A lighthouse in the fog.")
    client.job(job.key).wait()                            # here, or in another process

A record is claimed before the first byte of its submission is sent. Where the process ends in between, nobody knows whether the
provider has the job: with an idempotency key the same request may be sent again, and names the same job; without one the record
is `ambiguous`, and nothing is sent a second time by itself.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import ConfigError, Error
from engine.types import HttpRequest

__all__ = ["STATUSES", "JobStore", "Kept", "opened", "state_file"]

#: claimed: about to be sent, or to be sent again with its key. ambiguous: may run, and nobody knows its id
STATUSES = ("claimed", "submitted", "done", "failed", "cancelled", "expired", "ambiguous")
LARGEST = 8 << 20  # bytes of a request that is kept so that it can be sent again
BUSY = 10.0  # seconds to wait for another process
_COLUMNS = "key, status, provider, operation, model, id, record, request, owner, until, error, created, updated"
_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
  key TEXT PRIMARY KEY, status TEXT NOT NULL, provider TEXT NOT NULL, operation TEXT NOT NULL, model TEXT NOT NULL, id TEXT,
  record TEXT NOT NULL, request TEXT, owner TEXT, until REAL, error TEXT, created REAL NOT NULL, updated REAL NOT NULL);
CREATE INDEX IF NOT EXISTS by_id ON jobs (id);
"""


def state_file(name: str = "jobs.sqlite") -> Path:
    """A file of the user's own state: `$XDG_STATE_HOME`, `~/.local/state`, or the system's place for such files."""
    if os.name == "nt":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        root = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return root / "llmkit" / name


class JobStore:
    """Records of jobs by their key. Shared by threads and processes; a change is on disk before its method comes back."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path) if path is not None else state_file()
        try:
            if path is None:
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))  # prompts stand in it
            self._db = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_TABLE)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"the store of jobs at {self.path} cannot be opened: {error}") from None
        self._lock = threading.Lock()

    def _do(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._db.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise ConfigError(f"the store of jobs at {self.path} failed: {error}") from None

    # --- what a caller asks -----------------------------------------------------------------------------------------

    def list(self, *statuses: str) -> list[dict[str, Any]]:
        """The records, oldest first, as `get` gives them; only those of a status if some are named."""
        rows = self._do(f"SELECT {_COLUMNS} FROM jobs ORDER BY created, key")  # noqa: S608 (constants)
        found = [self._read(row) for row in rows]
        return [row for row in found if not statuses or row["status"] in statuses]

    def get(self, name: str) -> dict[str, Any]:
        """{key, status, provider, operation, model, id, record, error, created, updated} of a job, by its key, the beginning of its
        key, or the provider's id. ConfigError if there is none, or more than one."""
        rows = self._do(f"SELECT {_COLUMNS} FROM jobs WHERE key = ? OR id = ?", name, name)  # noqa: S608 (constants)
        if not rows and name:
            rows = self._do(f"SELECT {_COLUMNS} FROM jobs WHERE substr(key, 1, ?) = ?", len(name), name)  # noqa: S608 (constants)
        if len(rows) != 1:
            what = "several jobs begin with" if rows else "there is no job"
            raise ConfigError(f"{what} `{name[:64]}` in {self.path}")
        return self._read(rows[0])

    def forget(self, name: str) -> None:
        """Remove a record. The job itself goes on where it runs."""
        self._do("DELETE FROM jobs WHERE key = ?", self.get(name)["key"])

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _read(self, row: tuple[Any, ...]) -> dict[str, Any]:
        found = dict(zip(_COLUMNS.split(", "), row))
        kept, owner, until = found.pop("request"), found.pop("owner"), found.pop("until")
        found["record"] = {**json.loads(found["record"]), "key": found["key"]}
        if found["status"] == "claimed" and kept is None and not _at_work(owner, until):
            found["status"] = "ambiguous"
            self._do(
                "UPDATE jobs SET status = 'ambiguous' WHERE key = ? AND status = 'claimed' AND owner IS ?", found["key"], owner
            )
        found["at_work"] = found["status"] == "claimed" and _at_work(owner, until)
        return found

    # --- what a job's walk tells ------------------------------------------------------------------------------------

    def claim(self, key: str, provider: str, record: Mapping[str, Any], request: str | None, seconds: float) -> None:
        """The record of a job that is about to be sent by this process, which has so many seconds for it."""
        now = time.time()
        text = json.dumps({k: v for k, v in record.items() if k != "key"})
        what = (key, "claimed", provider, record["operation"], record["model"], None, text, request)
        values = (*what, _me(), now + seconds, None, now, now)
        marks = ", ".join("?" * len(values))
        self._do(f"INSERT OR REPLACE INTO jobs ({_COLUMNS}) VALUES ({marks})", *values)  # noqa: S608 (constants)

    def take(self, key: str, seconds: float) -> HttpRequest:
        """The request of a claimed job that is to be sent again, now by this process. ConfigError if it cannot be."""
        rows = self._do("SELECT status, request, owner, until FROM jobs WHERE key = ?", key)
        status, kept, owner, until = rows[0] if rows else (None, None, None, None)
        if status != "claimed" or kept is None:
            raise ConfigError(f"the job {key} cannot be sent again")
        if _at_work(owner, until):
            raise ConfigError(f"the job {key} is being submitted by another process")
        now = time.time()
        taken = self._do(
            "UPDATE jobs SET owner = ?, until = ?, updated = ? WHERE key = ? AND status = 'claimed' AND owner IS ? RETURNING key",
            _me(), now + seconds, now, key, owner,
        )  # fmt: skip
        if not taken:
            raise ConfigError(f"the job {key} is being submitted by another process")
        made = json.loads(kept)
        body = base64.b64decode(made["body"]) if made["body"] is not None else None
        return HttpRequest(made["method"], made["url"], made["headers"], body)

    def note(self, key: str, record: Mapping[str, Any]) -> None:
        """What is known of a submitted job now. The request has done its work and is not kept any longer."""
        text = json.dumps({k: v for k, v in record.items() if k != "key"})
        self._do(
            "UPDATE jobs SET status = 'submitted', id = ?, record = ?, request = NULL, owner = NULL, until = NULL, error = NULL, "
            "updated = ? WHERE key = ?",
            record.get("id"), text, time.time(), key,
        )  # fmt: skip

    def settle(self, key: str, status: str, error: str | None = None) -> None:
        """How it ended. A claim that is let go can be taken up by others."""
        kept = "request" if status == "claimed" else "NULL"
        self._do(
            f"UPDATE jobs SET status = ?, error = ?, request = {kept}, owner = NULL, until = NULL, updated = ? WHERE key = ?",  # noqa: S608
            status, error, time.time(), key,
        )  # fmt: skip


def opened(given: Any) -> JobStore:
    """The store that `Client(jobs=…)` speaks of: a path, a store, or True for the user's own."""
    if isinstance(given, JobStore):
        return given
    if given is True or isinstance(given, (str, os.PathLike)):
        return JobStore(None if given is True else given)
    raise ConfigError("`jobs` is a path, True for the user's own store, or a JobStore")


class Kept:
    """One job's place in a store: what its walk tells goes there."""

    __slots__ = ("_again", "_seconds", "_taken", "key", "provider", "store")

    def __init__(self, store: JobStore, key: str, provider: str, again: bool, seconds: float, taken: bool = False) -> None:
        self.store = store
        self.key = key
        self.provider = provider
        self._again = again  # the same request names the same job
        self._seconds = seconds
        self._taken = taken  # it was claimed before, and is taken up now

    def claim(self, request: HttpRequest | None, job: dict[str, Any]) -> None:
        """Before the first byte is sent. What has no key, or is too large or on disk, cannot be sent again from the record."""
        job["key"] = self.key
        if not self._taken:
            self.store.claim(self.key, self.provider, job, _written(request) if self._again else None, self._seconds)

    def note(self, job: dict[str, Any]) -> None:
        self.store.note(self.key, job)

    def unsent(self, error: Error) -> None:
        """The submission failed: for good, or nobody knows."""
        from engine.reliability.retry import Failed, happened

        busy = self._again and error.status == 409  # with its key: an earlier sending of the same is still at work
        if error.kind in ("ambiguous", "deadline") or (error.retryable and (busy or happened(Failed(error, 0, 0)))):
            self.unknown(error.message)
        else:
            self.store.settle(self.key, "failed", error.message)

    def unknown(self, why: str) -> None:
        """Nobody knows whether the provider has it. Whoever takes it up next may send it again, if that makes no second one."""
        self.store.settle(self.key, "claimed" if self._again else "ambiguous", why)

    def settle(self, status: str, error: Error | None = None) -> None:
        self.store.settle(self.key, status, error.message if error is not None else None)


def _written(request: HttpRequest | None) -> str | None:
    """A request without its credentials, as it is kept; None if it cannot be."""
    if request is None or not (request.body is None or isinstance(request.body, bytes)) or len(request.body or b"") > LARGEST:
        return None
    body = base64.b64encode(request.body).decode() if request.body is not None else None
    return json.dumps({"method": request.method, "url": request.url, "headers": request.headers, "body": body})


def _me() -> str:
    """This process, told apart from a later one with its number."""
    return f"{socket.gethostname()}:{os.getpid()}:{_birth(os.getpid())}"


def _birth(pid: int) -> str:
    """When a process was started, in the words of a system that says it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _at_work(owner: str | None, until: float | None) -> bool:
    """Whether whoever claimed a job may still be sending it: a dead process of this machine is not, nor one whose time is over."""
    if owner is None or until is None or time.time() > until:
        return False
    host, _, rest = owner.partition(":")
    number, _, birth = rest.partition(":")
    if host != socket.gethostname() or os.name == "nt":  # there, asking after a process would interrupt it
        return True
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return _birth(int(number)) == birth
