"""Between the parts: the gateway, the proxy that makes bad days, and the faults that it holds."""
