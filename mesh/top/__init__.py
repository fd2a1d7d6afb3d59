"""`mesh top`: what goes on in a mesh now, as it goes on.

look     one look at the registry
rates    what passed between two reports of a node; pure
rows     nodes, cameras and groups, from two looks; pure
columns  how rows are shown, sorted and filtered; pure
watching looks again and again, on a thread of its own
screen   the terminal; the only place that knows textual
"""
