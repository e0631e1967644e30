"""Losses of compatible training, one file a method. All are called with a `Batch`."""
