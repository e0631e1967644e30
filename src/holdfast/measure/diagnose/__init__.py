"""Diagnoses: what changes between two spaces, whatever an average says. One question a file.

Each takes the same items in both spaces and answers findings in the cell `CELL`. What they
call "fail" is a reason to look before an upgrade is paid for, see `upgrade/assess.py`.
"""

CELL = "old to new"  # no search: the two spaces themselves are compared
