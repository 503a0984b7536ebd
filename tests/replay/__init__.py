"""Replaying deployments that others validated: does qreg plan what they found to work?

    python -m tests.replay DEPLOYMENTS.jsonl --architectures ARCHITECTURES.json

Each deployment whose architecture is known is planned on a twin of its artifact: by itself, and
with the deployment's sizes as wishes. No weights and no NPU are needed.
"""
