"""Merged spec trees become frozen plans."""
