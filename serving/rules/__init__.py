"""Rules: one small pure function each, facts in, flags with reason and source out."""
