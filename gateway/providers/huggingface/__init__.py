"""Hugging Face: the router of its Inference Providers, and dedicated endpoints with its own servers."""

from gateway.providers.huggingface.client import HuggingFace

__all__ = ["HuggingFace"]
