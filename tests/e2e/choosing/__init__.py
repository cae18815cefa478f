"""Choosing a model, on the running stack: models that turn, rules that change, callers who ask too much."""
