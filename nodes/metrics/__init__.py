"""What a node tells Prometheus, on an optional port.

names       every metric: its name, kind and labels
samples     a node's report as samples of these; pure
totals      counts over all that a node ever had, which only grow
exposition  samples as text; the only place that knows prometheus_client
server      the port
"""
