"""Measurements behind the rules of the search: what pruning costs, and how often a choice is the best one."""
