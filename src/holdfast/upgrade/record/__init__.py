"""The record: rows of the ledger, its file, the audit, and what stopped an upgrade."""
