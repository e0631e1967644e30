"""The backfill: batches, their pace, the commands that lead it on, and where it stands."""
