"""Towers without a model: pictures are rows, and names have rows in a table."""

from __future__ import annotations

import numpy as np
import torch


class Table:
    """Pictures are scaled rows; a text is looked up, its ending aside."""

    def __init__(self, rows):
        self.rows = rows
        self.asked = []

    def image_vectors(self, images):
        return torch.nn.functional.normalize(images, dim=-1)

    def text_vectors(self, texts):
        self.asked += texts
        found = torch.tensor([self.rows[text.rstrip(".!")] for text in texts])
        return torch.nn.functional.normalize(found, dim=-1)


def unit(rows):
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)
