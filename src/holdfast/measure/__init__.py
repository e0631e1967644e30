"""Measurement: how good a ranking is, how sure we are, what changed, and what it means."""
