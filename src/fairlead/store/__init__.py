"""What outlives the daemon: the home's folders and its lock, the system users, and the SQLite database."""
