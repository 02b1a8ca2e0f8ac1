"""Every decision, and nothing else: no clock, loop, file, environment, randomness or logging in here.

A decision is a function of frozen values, `now` among them, and returns a frozen value with its reasons in words.
"""
