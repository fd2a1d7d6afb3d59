"""Whether processors can be loaded here: `python -P -m nodes.process.processors.trial SPECIFICATION…`

Prints a JSON string for each, as soon as it is known: what is wrong with it, or nothing.

Rules kept here: it runs as a process of its own, so that whoever asks loads nobody else's code, and where a
node would, so that the same is found; no processor is made.
"""

import json
import os
import sys

from mesh.errors import ConfigError
from mesh.site.leash import obey
from nodes.process.processors.catalog import loaded


def main() -> None:
    """Answer, and end, whatever threads were started meanwhile."""
    obey()
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a module prints is no answer
        for text in sys.argv[1:]:
            try:
                loaded(text)
                answers.write(json.dumps("") + "\n")
            except ConfigError as error:
                answers.write(json.dumps(str(error)) + "\n")
            answers.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
