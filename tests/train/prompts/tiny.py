"""Random CLIP models of a few thousand weights, and one with the layers of an older release."""

from __future__ import annotations

from inspect import signature

import torch
from transformers import CLIPConfig, CLIPModel

EOS = 40
TEXTS = {
    "a dog": [1, 5, 6, 7, EOS, 0, 0],
    "a cat": [1, 8, EOS, 0, 0, 0, 0],
    "a horse in a field": [1, 9, 10, 11, 12, 13, EOS],
    "a ship": [1, 14, 15, EOS, 0, 0, 0],
}
LAYERS, WIDE, PATCHES = 3, 48, 16


def tokenize(texts):
    ids = torch.tensor([TEXTS[text] for text in texts])
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


def clip(attention="sdpa", eos=EOS, seed=0):
    text = {
        "vocab_size": 50, "hidden_size": 32, "intermediate_size": 64, "max_position_embeddings": 10,
        "num_hidden_layers": LAYERS, "num_attention_heads": 4, "bos_token_id": 1,
        "pad_token_id": 0, "eos_token_id": eos,
    }  # fmt: skip
    vision = {
        "hidden_size": WIDE, "intermediate_size": 96, "num_hidden_layers": LAYERS,
        "num_attention_heads": 4, "image_size": 16, "patch_size": 4,
    }  # fmt: skip
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
    config._attn_implementation = attention
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return CLIPModel(config).eval()


def pictures(count=5, seed=0):
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


class OlderLayer(torch.nn.Module):
    """A layer as transformers 4.57 has it: two masks that add up, and a tuple for an answer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(
        self, hidden_states, attention_mask, causal_attention_mask, output_attentions=False
    ):
        if attention_mask is not None and causal_attention_mask is not None:
            attention_mask = attention_mask + causal_attention_mask
        elif causal_attention_mask is not None:
            attention_mask = causal_attention_mask
        return (self.layer(hidden_states, attention_mask),)


def older(model):
    if "causal_attention_mask" in signature(model.text_model.encoder.layers[0].forward).parameters:
        return model  # it is of that release
    for tower in (model.text_model, model.vision_model):
        tower.encoder.layers = torch.nn.ModuleList(map(OlderLayer, tower.encoder.layers))
    return model
