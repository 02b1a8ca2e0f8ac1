"""Servers that hold the data beside the services: Redis, PostgreSQL, MySQL, S3. `base` is the port, `host` keeps the
processes, `recipes` say how each server is found, prepared, started, asked, backed up."""
