"""What is kept, and where: ports in the gateway's words, adapters by folder, chosen in `catalogue.py`."""
