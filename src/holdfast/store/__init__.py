"""Stores: one column of vectors in exactly one space, with ids and payloads."""
