"""Malformed requests to the hub: hypothesis on a written description of its routes.

    python -m tests.fuzz.hub --runs 100000 --seed 1

routes.yaml      what the hub takes, in OpenAPI 3.1; held against the application's table of routes
description.py   reads it: operations, their parameters and bodies
values.py        hostile values, and JSON with them in it
messages.py      one request, made of an operation: what hypothesis draws
wire.py          sends it as it is, and reads the answer
world.py         the repository that requests are about, in a hub of their own
run.py           sends many, and judges the hub
"""
