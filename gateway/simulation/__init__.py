"""Trying rules on logged traffic: each request is decided again, by live facts that the log itself gives."""
