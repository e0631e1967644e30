"""The report: an upgrade told from its ledger, as one HTML file that needs nothing else."""

from .build import Report
from .page import render, write_report

__all__ = ["Report", "render", "write_report"]
