"""A website that says where an IP address is: ipstack's answers, kept in Redis, from several instances at once."""
