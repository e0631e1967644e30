"""Searches: of one side, of two that are mixed, and of one that stands in for the other."""
