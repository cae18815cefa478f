"""What providers of other wires share: chat requests read field by field, chat's answers written, the course of a call.

OpenAI's chat is the hub: a provider carries it over to its own wire and back, and nothing else has to know that wire.
"""
