"""The load generator: a C program that is compiled when it is first needed, and how it is run.

It is in C because it must never be what limits a measurement: beside a server on the next core it
needs a fraction of its own. What it does and how it is spoken to is in `source/`.
"""
