"""Deep prompts in both towers of a frozen CLIP, joined by one bridge.

slots    where the prompts of a layer stand in its sequence
towers   the towers of a transformers CLIP, layer by layer
clip     `PromptedClip`: the prompts, the bridge, and unit rows of pictures and texts
rates    learning rates: by the share of classes that are new, and over a session
"""
