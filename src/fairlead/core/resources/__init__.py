"""What holds the data beside the services: caches, databases, buckets. Values, addresses, and the decision."""
