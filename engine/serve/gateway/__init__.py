"""The gateway: clients of any served dialect in front of any provider, on one port (SERVE.md 10)."""
