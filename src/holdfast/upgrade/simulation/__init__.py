"""Simulation: what an upgrade would take at another size, from a small one that was measured."""
