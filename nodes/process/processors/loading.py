"""Somebody else's module, loaded by name.

Rules kept here: the working directory is put on the path only when the module lies in it; a module that
fails to load is one line that names the file and line of the fault.
"""

import importlib
import sys
import traceback
from pathlib import Path

from mesh.errors import ConfigError


def load_object(module: str, name: str) -> object:
    """`name` (dots allowed) of a module that is installed or in the working directory. `ConfigError`."""
    _make_visible(module)
    found = _import(module)
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"module {module!r} ({_file(found)}) has no {name!r}")
        found = getattr(found, part)
    return found


def _make_visible(module: str) -> None:
    here = Path.cwd()
    top = module.partition(".")[0]
    lies_here = (here / top).is_dir() or (here / f"{top}.py").is_file()
    if lies_here and top not in sys.modules and not {"", str(here)} & set(sys.path):
        sys.path.insert(0, str(here))
        importlib.invalidate_caches()


def _import(module: str) -> object:
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # foreign code: whatever it raises is told, with its cause
        missing = isinstance(error, ModuleNotFoundError) and error.name
        if missing and (module == missing or module.startswith(f"{missing}.")):
            raise ConfigError(
                f"no module {module!r} in {Path.cwd()} or among the installed packages"
            ) from error
        raise ConfigError(
            f"module {module!r} does not load: {type(error).__name__}: {_message(error)} ({_where(error)})"
        ) from error


def _message(error: BaseException) -> str:
    return str(error.msg if isinstance(error, SyntaxError) else error).partition("\n")[0]


def _where(error: BaseException) -> str:
    """`file:line` of the fault: where a syntax error is, else the last line that is not the importer's."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    calls = [call for call in traceback.extract_tb(error.__traceback__) if "importlib" not in call.filename]
    return f"{calls[-1].filename}:{calls[-1].lineno}"


def _file(module: object) -> str:
    return str(getattr(module, "__file__", None) or "built in")
