"""Sources: where the content of items is read again, so that a new model can encode it."""
