"""Asyncio tools that know nothing of stacks and services: tasks, waiting, programs, processes, sockets, files."""
