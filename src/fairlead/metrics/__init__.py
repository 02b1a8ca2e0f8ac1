"""What is measured: names, series, percentiles, and how other programs read them."""
