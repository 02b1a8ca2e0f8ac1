"""The daemon's HTTP API: `server` is its side, `client` the side of the command line. Nothing is imported here."""
