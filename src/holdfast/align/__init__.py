"""Aligners: maths that maps one array to another, and bridges between two spaces."""
