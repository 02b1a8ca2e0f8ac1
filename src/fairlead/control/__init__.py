"""The loop: observe, let core decide, apply. One loop a stack, one supervisor a daemon."""
