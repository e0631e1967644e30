"""What should move early: each policy gives every item a number, and the highest go first.

Policies are functions of arrays, free of labels and of stores; `rank.py` feeds them from a
gallery. What each is worth is measured by `bench.order`.
"""
