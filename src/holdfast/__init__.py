"""Change the embedding model behind a vector search while the search keeps answering."""

__version__ = "0.1.0"
