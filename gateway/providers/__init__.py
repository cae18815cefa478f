"""What stands behind the gateway: one folder (or file) a provider, known to `catalogue.py` alone."""
