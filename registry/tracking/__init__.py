"""Tracking in MLflow: runs of quantizations, logged models and model versions of publications.

Work never waits for MLflow and never fails because of it: everything is first written to a journal
on this machine (`journal`), and from there sent (`sender`), at once where MLflow answers and later
where it does not. What a killed process left open is closed by the next command (`recovery`).
"""
