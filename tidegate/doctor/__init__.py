"""Checks of this machine and of a cluster, each finding with its remedy.

Each module has one subject. Checks are pure functions of plain data; reads are at the edge.
"""
