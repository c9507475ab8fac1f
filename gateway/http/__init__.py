"""The HTTP API: one module per resource. ``api.create`` puts them together; ``problems`` is the only way to say no."""
