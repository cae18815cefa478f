"""OpenAI itself, and what is meant to be reached by its SDK."""

from gateway.providers.openai.client import OpenAI

__all__ = ["OpenAI"]
