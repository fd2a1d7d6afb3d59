"""`mesh bench`: what the mesh costs, beside the floor, measured in the same run.

How to add a bench, say `record`:

1. A module `mesh/bench/record.py` with one entry, `measure(setup: Setup) -> Iterator[Row]`: it yields a row
   as soon as it is known. `setup` says for how long and how often to measure, and with which pictures;
   `setup.alternate(floor, ours)` runs the two by turns. A row holds every run's figure; medians, ratios and
   whether the target is met follow from them (`report`). What cannot be measured here yields a row that says
   why (`report.skipped`).
2. An entry in `catalog.CATALOG`. The catalog fills in each row's `work` and `command`.

Work that needs processes of its own runs in them: `Children.start(role, **options)` runs a *role* in a new
process, a top-level function of a module of this package that takes a `Channel` and JSON-able options and
returns a JSON-able dict. `Children.mesh(*arguments)` runs a `mesh` command, and `usage` reads what a process
has used so far. Both are ended when the block is left, whatever happens.

    def count(channel: Channel, *, pictures: dict[str, Any], seconds: float) -> dict[str, Any]:
        channel.say(endpoint=...)                      # one JSON line for the parent, which `hear`s it
        meter = Meter()
        ...
        return {"frames": n, **meter.read()}           # wall_s, cpu_s (user + system) since it was made

    with Children() as children:
        child = children.start(count, pictures=pictures.as_options(), seconds=setup.seconds)
        endpoint = child.hear()["endpoint"]
        result = child.result()

Rules kept here: floor and ours are measured in the same run, by turns; a figure comes from what was received,
and what was lost is said; every process is bounded in time and reaped; nothing spins; nothing here is
imported by the rest of the mesh.
"""
