"""The other direction: standing in for a provider on loopback."""
