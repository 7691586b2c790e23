"""Systems of users: a class in a Python file, named ``my_trap.py:Trap``, or in a running program; faults of such a class.

The file is run, as any imported Python module. The text of a file that a result stores is never run.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import os
import sys
import textwrap
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from fkflow.hamiltonian.box import find_fault_of_box
from fkflow.hamiltonian.mistakes import explain_class, remedy
from fkflow.hamiltonian.species import find_fault_of_species
from fkflow.hamiltonian.species import particle_masses as particle_masses
from fkflow.hamiltonian.system import Nuclei, System
from fkflow.hamiltonian.tabulated import define

#: most bytes of such a file
LONGEST = 2**20
#: how a file and its class are named, for messages
FORM = 'it must name a file and a class in it, such as "my_trap.py:Trap", or a table, such as "curve.csv:Particle"'
#: endings of files with a table, whose classes are those of `tabulated`
TABLES = (".csv", ".dat", ".txt")
#: begins the names of the modules in sys.modules
PREFIX = "fkflow_user_file_"


@dataclass(frozen=True)
class Definition:
    """Where a system is defined: `file` as a recipe names it, FILE.py:CLASS, SHA-256 of the file's bytes, and its text.

    For a class that cannot be read from a file (of a notebook, say) `file` is CLASS alone, and the text is the source of the
    class, if Python knows it.
    """

    file: str
    sha256: str
    text: str

    @property
    def path(self) -> str | None:
        """The file without the class, if there is one."""
        return self.file.rpartition(":")[0] or None

    @property
    def name(self) -> str:
        """The class."""
        return self.file.rpartition(":")[2]


#: a file that another thread is running is waited for; one may load another
_loading = threading.RLock()


def split_file(file: str) -> tuple[str, str]:
    """Split FILE.py:CLASS into its two parts; ValueError if it has another form."""
    path, _, name = file.rpartition(":")
    if not path or not name.isidentifier() or "\0" in path:
        raise ValueError(FORM)
    return path, name


def relative_file(folder: Path, file: str) -> str:
    """Turn FILE.py:CLASS, relative to the working directory, into one relative to `folder`.

    Absolute files, and a class without a file, stay as they are.
    """
    path, _, name = file.rpartition(":")
    if not path or path.startswith("~") or os.path.isabs(path):
        return file
    with suppress(ValueError):  # another drive
        path = os.path.relpath(os.path.abspath(path), os.path.abspath(folder))
    return f"{Path(path).as_posix()}:{name}"


def absolute_file(folder: Path, file: str) -> str:
    """Turn FILE.py:CLASS, relative to `folder`, into one relative to the working directory; a class without a file stays."""
    fixed = ":" not in file or file.startswith("~") or os.path.isabs(file)
    return file if fixed else os.path.normpath(os.path.join(folder, file))


def without_folders(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The sections of a resolved recipe with the file of its system without its folder."""
    plain = {section: dict(table) for section, table in sections.items()}
    if "file" in (system := plain.get("system", {})):
        path, colon, name = system["file"].rpartition(":")
        system["file"] = f"{Path(path).name}{colon}{name}"
    return plain


def load(file: str) -> tuple[type[System], Definition]:
    """Load the class that FILE.py:CLASS names, relative to the working directory, with its definition; ~ is the home folder.

    The same content at the same place gives the same class. Raises ValueError with one sentence.
    """
    path, name = split_file(file)
    content = _read(path)
    definition = Definition(file, hashlib.sha256(content).hexdigest(), content.decode("utf-8-sig", errors="replace"))
    place = str(Path(path).expanduser().absolute())
    module = PREFIX + hashlib.sha256(f"{place}\0{definition.sha256}".encode()).hexdigest()[:16]
    with _loading:
        if module not in sys.modules:
            _run(module, place, path, content)
    return _class(sys.modules[module], name, path), definition


def _read(path: str) -> bytes:
    full = Path(path).expanduser()
    try:
        with full.open("rb") as file:
            content = file.read(LONGEST + 1)
    except FileNotFoundError:
        raise ValueError(f"there is no file {path} (looked for in {full.absolute().parent})") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder; {FORM}") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({(error.strerror or str(error)).lower()})") from None
    if len(content) > LONGEST:
        raise ValueError(f"{path} has more than {LONGEST} bytes: the class of a system is a short text")
    return content


def _run(name: str, place: str, path: str, content: bytes) -> None:
    """Run the content of a file as the module `name`; ValueError says what it raised and in which line."""
    module = ModuleType(name)
    module.__file__ = place
    # pydantic looks up names of annotations there
    sys.modules[name] = module
    try:
        if path.lower().endswith(TABLES):
            define(module, content.decode("utf-8-sig", errors="replace"), path)
        else:
            # it may import its neighbours, as a script may; what is installed comes first
            if (folder := os.path.dirname(place)) not in sys.path:
                sys.path.append(folder)
            exec(compile(content, place, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if path.lower().endswith(TABLES):
            raise ValueError(str(error)) from None
        if isinstance(error, SyntaxError | ValueError) and error.__traceback__ and not error.__traceback__.tb_next:
            line = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            raise ValueError(f"{path} is not Python: {reason}{line}") from None
        if why := explain_class(error):
            raise ValueError(f"in {path} {why}") from None
        raise ValueError(f"{path} raises {describe_error(error, place)}{remedy(error)}") from None
    except BaseException:
        del sys.modules[name]
        raise


def _class(module: ModuleType, name: str, path: str) -> type[System]:
    known = [
        key
        for key, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and issubclass(value, System)
    ]
    found = getattr(module, name, None)
    if found is None:
        raise ValueError(f"{path} has no class {name}: " + (f"it has {', '.join(known)}" if known else "it has none"))
    if not (isinstance(found, type) and issubclass(found, System)):
        raise ValueError(f"{name} in {path} is not a system: write class {name}(fkflow.System)")
    if taken := {"name", "file"} & set(found.model_fields):
        raise ValueError(f"{name} in {path} cannot have a parameter called {taken.pop()}: [system] means another by it")
    return found


def definition_of(system: type[System]) -> Definition:
    """Where a class of the running program is defined: a file that `load` can read, else this program.

    The file of the program itself does not count: to load it would run the program again.
    """
    name, place, module = system.__name__, source_file(system), sys.modules.get(system.__module__)
    loadable = module is not None and module.__name__ != "__main__" and not module.__package__
    if place and loadable and getattr(module, name, None) is system:
        near = os.path.relpath(place)
        path = place if near.startswith("..") else Path(near).as_posix()
        with suppress(ValueError):
            content = _read(path)
            text = content.decode("utf-8-sig", errors="replace")
            return Definition(f"{path}:{name}", hashlib.sha256(content).hexdigest(), text)
    text = _source(system)
    return Definition(name, hashlib.sha256(text.encode()).hexdigest(), text)


def _source(system: type[System]) -> str:
    """The source of a class, or at least of its potential; "" if Python does not know it."""
    for part in (system, system.potential):
        with suppress(OSError, TypeError):
            return textwrap.dedent(inspect.getsource(part))
    return ""


def describe_error(error: BaseException, place: str | None) -> str:
    """Describe an exception in one phrase, with the line of the file at `place` that raised it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == place]
    where = f" in line {lines[-1]}" if lines else ""
    # pydantic's own has a line for each problem
    found = error.errors() if isinstance(error, ValidationError) else []
    what = (
        [f"{found[0]['loc'][0]}: {found[0]['msg']}"] if found and found[0]["loc"] else str(error).strip().splitlines()
    )
    return type(error).__name__ + where + (f": {what[0]}" if what else "")


def source_file(system: type[System]) -> str | None:
    """The file that defines a class, if it has one."""
    return getattr(sys.modules.get(system.__module__), "__file__", None)


def display_name(system: System) -> str:
    """How messages call a system: the class and, for a user's own, its file."""
    kind = type(system if (own := getattr(system, "own", None)) is None else own)
    if kind.__module__.startswith(PREFIX):
        return f"{kind.__name__} in {(source_file(kind) or '').replace(chr(92), '/').rpartition('/')[2]}"
    return f"the system {system.key}"


def find_fault(system: System) -> str | None:
    """The first thing that is wrong with what a system declares, in one sentence that follows its name; None if nothing is."""
    if type(system).potential is System.potential:
        return "it has no potential: def potential(self, x) must give the energies (B,) of configurations x (B, N, D)"
    try:
        fault = find_fault_of_species(system)
    except Exception as error:
        return f"species raises {describe_error(error, source_file(type(system)))}"
    if fault is not None:
        return fault
    for name, example in (("particles", 2), ("dimensions", 1)):
        value = getattr(system, name, None)
        if value is None:
            return f"it does not say its {name}: a line such as {name} = {example} is needed"
        if type(value) is not int or value < 1:
            return f"{name} = {value!r} is not allowed: it must be a whole number of at least 1"
    try:
        masses = particle_masses(system)
    except ValueError as error:
        return str(error)
    if system.free and system.particles < 2:
        return "free = True is not allowed: one particle without a trap has no ground state"
    threshold = getattr(system, "threshold", None)
    if threshold is not None and not (type(threshold) in (int, float) and math.isfinite(threshold)):
        return f"threshold = {threshold!r} is not allowed: it must be a number, the lowest energy of separated parts"
    length = getattr(system, "length", None)
    if length is not None and not _positive(length):
        return f"length = {length!r} is not allowed: it must be a number above 0, over which the ground state varies"
    try:
        nuclei = system.nuclei()
    except Exception as error:
        return f"nuclei() raises {describe_error(error, source_file(type(system)))}"
    fault = None if nuclei is None else _find_fault_of_nuclei(system, nuclei, masses)
    return fault or find_fault_of_box(system) or _find_fault_of_contact(system)


def _positive(value: object) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf  # type: ignore[operator]


def _find_fault_of_contact(system: System) -> str | None:
    contact = getattr(system, "contact", None)
    if contact is None:
        return None
    if not isinstance(contact, (int, float)) or not math.isfinite(contact):
        return f"contact = {contact!r} is not allowed: it must be a number, the strength g of an energy g δ(x_i − x_j)"
    if contact and (system.dimensions > 1 or not system.identical):
        return "contact is for identical particles on a line: between others V must hold the energy, over a short range"
    if contact < 0 and system.free:
        return f"contact = {contact!r} is not allowed with free = True: what binds free particles must be in V"
    return None


def _find_fault_of_nuclei(system: System, nuclei: Nuclei, masses: tuple[float, ...]) -> str | None:
    if not isinstance(nuclei, Nuclei):
        return f"nuclei() gives {type(nuclei).__name__}: it must give fkflow.Nuclei(positions, charges), or None"
    if system.dimensions != 3 or system.particles > 2 or not system.identical:
        return "nuclei() is for one or two identical particles in three dimensions"
    if set(masses) != {1.0}:
        return "nuclei() is for particles of mass 1"
    places, charges = nuclei.positions, nuclei.charges
    numbers = [number for place in places for number in place]
    if not places or len(charges) != len(places) or {len(place) for place in places} != {3}:
        return "nuclei() must give as many charges as positions (x, y, z)"
    if not all(_positive(charge) for charge in charges) or not all(math.isfinite(number) for number in numbers):
        return "nuclei() must give finite positions and charges above 0"
    return None
