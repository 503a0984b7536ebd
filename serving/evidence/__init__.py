"""Evidence of launches: what an engine's start showed, kept beside what its plan said.

`engine_log` reads the log, `memory` asks the devices, `record` keeps both, `proven` and `overhead`
read what was kept for the next plan.
"""
