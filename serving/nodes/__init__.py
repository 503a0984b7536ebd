"""Several nodes that serve one model: where each stands, how they meet, how they end together.

vLLM spreads the work over the nodes by its own means. It does not notice that another machine is
gone, or its engine core killed (`v1/engine/core_client.py` of 0.32 watches processes of its own
machine), and of a node that never comes it says nothing by name, after ten minutes
(`VLLM_ENGINE_READY_TIMEOUT_S`). So each node's qreg holds a connection to the first's.
"""
