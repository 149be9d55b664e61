"""Answers that are kept, so that the same question is paid for once (RELIABILITY C1 to C4). Loaded only where a cache is set up.

A call's journey: `key` names its question, `flow` looks it up, lets one of many equal calls ask, and keeps what it was told;
`entry` writes answers as JSON, `replay` tells them as streams. Stores: `memory`, `sqlite`, `redis`. `semantic` finds questions
that mean the same.
"""
