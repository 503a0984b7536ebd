"""Serving: from an artifact and a machine to a plan, and from a plan to a server that answers."""
