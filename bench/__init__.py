"""Timed and scored scripts; the package never imports them.

python -m bench.NAME --quick answers in under a minute and prints; without it the figures go to
docs/benchmarks/NAME.json and NAME.md.
"""
