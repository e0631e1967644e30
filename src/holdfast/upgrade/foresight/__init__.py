"""Foresight: what a sample of the gallery says of all of it, before anything moves."""
