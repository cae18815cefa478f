"""Servers that speak OpenAI's API without being OpenAI: vLLM, Ollama, llama.cpp, LM Studio, TGI and many more."""

from gateway.providers.compatible.client import Compatible

__all__ = ["Compatible"]
