"""The fault table (RELIABILITY 8) put on four wires."""

from __future__ import annotations

from tests.faults import stream_rows, whole_rows  # noqa: F401 - they fill the table
from tests.faults.row import TABLE, Row

__all__ = ["BY_ID", "TABLE", "Row"]

BY_ID = {row.id: row for row in TABLE}
