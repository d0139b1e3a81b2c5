"""Honest measurement of anything that keeps the contract: operations, time, memory, tokens."""
