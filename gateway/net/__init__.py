"""How the gateway reaches hosts that callers and operators name: addresses that were checked, and HTTP/1.1 to them."""
