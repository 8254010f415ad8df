"""Attacks on the policy: what is tried, against a server, and what came of it."""
