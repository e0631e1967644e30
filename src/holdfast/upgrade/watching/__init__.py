"""Watching: what is measured beside an upgrade while it runs, and what stops it."""
