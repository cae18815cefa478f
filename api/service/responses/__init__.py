"""Responses and conversations: state that is kept here, so that any model can go on where another one ended."""
