"""Limits over all replicas, asked in memory: rates by leased tokens, numbers at once by held slots."""

from gateway.limiter.limiter import Limiter, Taken, Wait
from gateway.limiter.models import OPEN, Entry, Full, Gate
from gateway.limiter.slots import Concurrency

__all__ = ["OPEN", "Concurrency", "Entry", "Full", "Gate", "Limiter", "Taken", "Wait"]
