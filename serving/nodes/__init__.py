"""Several nodes that serve one model: where each stands, how they meet, how they end together.

vLLM spreads the work over the nodes by its own means. It does not notice that a node is gone, and
waits for one that never comes for ever; so each node's qreg holds a connection to the first one's.
"""
