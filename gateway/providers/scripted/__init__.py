"""A provider that follows a script: the double of tests and benchmarks, in process and as a real HTTP upstream."""

from gateway.providers.scripted.script import Script

__all__ = ["Script"]
