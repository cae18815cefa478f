"""Google's Gemini models over their own REST API: Google AI, and Vertex AI with an API key."""

from gateway.providers.gemini.client import Gemini

__all__ = ["Gemini"]
