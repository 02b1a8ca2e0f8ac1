"""Where instances run. `base` is the port; each other folder is one engine, and can be deleted."""
