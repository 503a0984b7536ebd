"""What a hub must bear: much, cut short, silent, and large repositories.

    python -m tests.attacks.load [--only memory] [--commits 1000] [--cuts 1000]

client.py        asks a watched hub, measures its memory and how long its answers take
memory.py        commits with contents inside, uploads that break off
connections.py   connections that say nothing or never end, bodies and headers without end
scale.py         a repository with many files beside one with few
"""
