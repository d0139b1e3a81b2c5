"""Honest measurement of any network: operations, time, memory, tokens. No config, no method."""
