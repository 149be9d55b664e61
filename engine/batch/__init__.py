"""Batches: many rows of requests in, their answers out in the input's order, each exactly once whatever happens on the way.

    done = client.batch("rows.jsonl", model="groq/openai/gpt-oss-20b", out="answers.jsonl")
    done.answered, done.failed, done.cost

Rows (`rows`) are read one after the other and claimed in a checkpoint (`book`) before anything is sent. What comes of them is
kept there until it stands in the output (`output`). `run` ties these together; `local` asks row by row over any operation,
`remote` hands the rows to a provider's own batch service (SPEC_LANGUAGE 7.3, RELIABILITY B1).
"""

from __future__ import annotations
