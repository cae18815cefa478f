"""Anthropic, and what speaks its dialect: messages as they are, chat by translation."""
