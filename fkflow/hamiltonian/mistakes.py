"""Common mistakes in the class of a user, each with the sentence that mends it."""

from __future__ import annotations

import difflib
import re

#: what is said of V where the particles cannot be
MUST_BE_INFINITE = "must be inf, with walls that are found or that def boundary(self, x) gives"

#: what an exception says, and what mends it
REMEDIES: tuple[tuple[str, str], ...] = (
    (
        r"dtype|scalar type|expected (m1|Double|Float)|Double but|Float but",
        "constants must have the type of x, float64: make them by x.new_tensor([...])",
    ),
    (
        r"on the same device|can't convert cuda",
        "constants must be on the device of x: make them by x.new_tensor([...])",
    ),
    (
        r"only one element tensors|only (length-1|0-dimensional) arrays|converted to Python scalars|must be real number",
        "functions of math take single numbers: torch.cosh or np.cosh, and so on, take all configurations at once",
    ),
    (
        r"Boolean value of Tensor|truth value of an array",
        "if takes single numbers: torch.where(condition, a, b) chooses for each configuration",
    ),
    (
        r"has no attribute 'mass'",
        "the class leaves the mass out, which counts as 1: write mass = 1.0 in it, or mass: float = 1.0 for a parameter",
    ),
    (
        r"has no attribute 'length'",
        "the class leaves the length out: write length = 1.0 in it, or length: float = 1.0 for a parameter",
    ),
    (
        r"Instance is frozen|frozen_instance",
        "parameters are fields of the class, such as omega: float = 1.0, and stay as they are; it needs no __init__",
    ),
)
#: what a class says of its system without a type, and how alike a misspelt name is
STATED = (
    "particles", "dimensions", "mass", "identical", "species", "free", "box", "contact", "isotropic", "separable", "length",
    "energy_unit", "length_unit",
)  # fmt: skip
NEAR = 0.75
#: a class of these names has no attribute of that name
MISSING = re.compile(r"^'(\w+)' object has no attribute '(\w+)'")


def remedy(error: BaseException) -> str:
    """What mends the mistake that an exception comes from, after a semicolon; "" if it is none of the common ones."""
    said = str(error)
    for pattern, text in REMEDIES:
        if re.search(pattern, said):
            return f"; {text}"
    found = MISSING.match(said)
    if isinstance(error, AttributeError) and found and found[1] not in ("Tensor", "ndarray", "NoneType"):
        return f"; a parameter is a field with a type, such as {found[2]}: float = 1.0, in the class"
    return ""


def explain_class(error: BaseException) -> str | None:
    """What is wrong with the definition of a class that pydantic refuses, in one sentence; None for others."""
    code, said = getattr(error, "code", None), str(error)
    if isinstance(error, TypeError) and "has an __init__" in said:
        return said
    if code == "model-field-missing-annotation":
        found = re.search(r"`(\w+) = (.+?)`", said)
        name, value = found.groups() if found else ("omega", "1.0")
        kind = {"True": "bool", "False": "bool"}.get(value) or _kind(value)
        known = similar(name)
        meant = f"{known} = {value} if that is meant, or " if known else ""
        return f"{name} = {value} has no type: write {meant}{name}: {kind} = {value} for a parameter of the recipe"
    if code == "schema-for-unknown-type":
        found = re.search(r"<class '([\w.]+)'>", said)
        kind = found[1] if found else "this type"
        return (
            f"a parameter cannot be a {kind.removeprefix('torch.').removeprefix('numpy.')}: write a list of numbers, such as "
            "centres: list[float] = [0.0, 1.0], and make the tensor in potential by x.new_tensor(self.centres)"
        )
    return None


def similar(name: str) -> str | None:
    """What a class may say of its system that a name like this one is easily written for; None if nothing is near."""
    for known in STATED:
        if name != known and (known.startswith(name) or name.startswith(known)) and len(name) > 2:
            return known
    return next(iter(difflib.get_close_matches(name, STATED, 1, NEAR)), None)


def _kind(value: str) -> str:
    """The type of a value by its text."""
    for kind, pattern in (("int", r"-?\d+"), ("float", r"-?[\d.]+(e[+-]?\d+)?"), ("str", r"'.*'|\".*\"")):
        if re.fullmatch(pattern, value):
            return kind
    return "list[float]" if value.startswith(("[", "(")) else "float"
