"""Compatible training: models whose galleries need no backfill.

`interface` and `vertices` need numpy only; everything else is torch from its first line, so
nothing outside this folder imports it before somebody trains.
"""
