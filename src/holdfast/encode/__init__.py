"""Encoders: contents of items in, vectors of one space out, with a query and a document role."""
