"""The store contract, one file for each thing that is checked; `store/check.py` runs it."""
