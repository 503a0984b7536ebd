"""Several nodes that serve one model: where each stands, how they meet, how they end together.

vLLM spreads the work over the nodes by its own means. It does not notice that another machine's
processes are gone, and of a node that never comes it says nothing by name, after ten minutes
(`VLLM_ENGINE_READY_TIMEOUT_S`, vLLM 0.32). So each node's qreg holds a connection to the first's.
"""
