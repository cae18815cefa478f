"""Anthropic's dialect, as its SDKs speak it."""
