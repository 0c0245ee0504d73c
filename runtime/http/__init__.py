"""HTTP functions: a service's application, its edge, and the process that serves it."""
