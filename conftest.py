"""Training is torch: where that is not installed, nothing of it is searched for examples."""

from importlib.util import find_spec

OF_TORCH = ["src/holdfast/train/*", "tests/train/losses/draws.py", "tests/train/toys.py"]
collect_ignore_glob = [] if find_spec("torch") else OF_TORCH
