"""The ways people come from, each as its users write it: pixels to pixels, from one process to another.

A rival is a module with `missing()`, which says why it cannot be measured here (empty: it can), and
`link(pictures, seconds)`, which runs it once. Libraries are those of the extra `bench`; they are imported by
the roles that use them, so that nothing else needs them.
"""
