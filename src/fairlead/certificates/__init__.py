"""Where the certificates of HTTPS listeners come from: files of the user's, or the home's development CA."""
