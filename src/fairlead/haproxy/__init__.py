"""Where traffic flows. `base` is the port; `node` is a real HAProxy; `fake` plays one in virtual time."""
