"""Two stores as one: what is written to both, in which state, and who waits for whom."""
