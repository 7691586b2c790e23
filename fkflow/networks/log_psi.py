"""What every log ψ network is: a scalar function U(x) = log ψ(x) whose gradient is the drift of the diffusion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor, nn

from fkflow.hamiltonian.box import wrapped
from fkflow.hamiltonian.free import recentred
from fkflow.hamiltonian.geometry import coordinates_first, coordinates_last
from fkflow.networks.parts import Part, Tape
from fkflow.networks.recorded_graph import run_recorded


class LogPsi(nn.Module):
    """A real function U(x) = log ψ(x) of configurations x (B, N, D).

    A network composes parts (`parts.Part`) in `compose`: drift and Laplacian then follow from those of its parts. Any other
    subclass defines `forward`, and is differentiated automatically.
    """

    #: the network has the right tails by construction: training need not visit them more often than ψ² does
    knows_tails: ClassVar[bool] = False
    #: `forward` also takes parameters with a leading axis of walkers; subclasses do not inherit this, they say it again
    walkerwise: ClassVar[bool] = False
    #: buffers that stay in double precision where the network is rounded (`single_precision`): what coordinates count from
    exact: ClassVar[tuple[str, ...]] = ()
    #: names in stored states of earlier versions, or their beginnings, and what they are now; None: nothing is stored any more
    renamed: ClassVar[Mapping[str, str | None]] = {}
    #: an evaluation is the same operations at any x, and can be recorded
    recordable: bool = True
    #: configurations worked on at once; 0: as many as suit cache or device
    chunk: int = 0
    #: the unit of the internal coordinates, in the units of x
    length: float = 1.0
    #: direction (N,) along which all particles of a free system move together, which leaves log ψ as it is
    together: Tensor | None = None
    #: what Langevin steps are multiplied by, a symmetric matrix (N D, N D); None: nothing
    step_shape: Tensor | None = None
    #: sides (D,) of a periodic box, in the units of x
    box: tuple[float, ...] | None = None
    #: what `analytic` found
    _analytic: bool | None = None

    @property
    def width(self) -> int:
        """Numbers that the widest layer holds for one configuration: what decides how many fit in memory."""
        return 256

    def coordinates(self, x: Tensor) -> Tensor:
        """The internal coordinates (D, N, B) of x (B, N, D), in units of `length`."""
        return coordinates_first(x)

    def compose(self, y: Tensor) -> Tensor:
        """log ψ (B,) from internal coordinates y (D, N, B), made of parts."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """log ψ, x (B, N, D) → (B,)."""
        return self._composed(self.coordinates(x))

    def recentre(self, x: Tensor) -> Tensor:
        """Configurations x (…, N, D) with the centre of mass of a free system, or all particles of a box, put back."""
        return wrapped(recentred(x, self.together), self.box)

    def add_cusps(self, centres: Part) -> None:
        """Multiply ψ by a factor of the internal coordinates with cusps at centres of V (`centre_factor`)."""
        self.centre_factor = centres
        self._analytic = None

    def add_edges(self, walls: Part | None, lines: Part | None) -> None:
        """Multiply ψ by factors of the internal coordinates for hard walls (`walls`) and for jumps of V (`line_factor`)."""
        if walls is not None:
            self.wall_factor = walls
        if lines is not None:
            self.line_factor = lines
        self._analytic = None

    @property
    def edges(self) -> list[Part]:
        """The factors for walls and jumps, where there are any."""
        found = (self._modules.get(name) for name in ("wall_factor", "line_factor"))
        return [cast(Part, factor) for factor in found if factor is not None]

    def _composed(self, y: Tensor) -> Tensor:
        """log ψ (B,) from internal coordinates y (D, N, B), with its walls, jumps and cusps."""
        centres = cast(Part | None, self._modules.get("centre_factor"))
        edges = [factor(y) for factor in (*self.edges, *(() if centres is None else (centres,)))]
        # on the way back, the last to add to the gradient
        value = self.compose(y)
        for edge in edges:
            value = edge + value
        return value

    @property
    def has_singular_points(self) -> bool:
        """Whether log ψ has a factor that may be singular where two particles meet, or one meets a centre of V."""
        return any(self._modules.get(name) is not None for name in ("two_body_factor", "centre_factor"))

    if TYPE_CHECKING:

        def __call__(self, x: Tensor) -> Tensor: ...

    def drift(self, x: Tensor) -> Tensor:
        """Drift v = ∇ log ψ (B, N, D), detached from the parameters."""
        return self.value_and_drift(x)[1]

    def value(self, x: Tensor) -> Tensor:
        """log ψ (B,), detached."""
        value: Tensor = self._run(self._value, x)
        return value

    def value_and_drift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log ψ (B,) and its gradient (B, N, D), both detached."""
        both: tuple[Tensor, Tensor] = self._run(self._value_and_drift, x)
        return both

    def value_drift_and_laplacian(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log ψ (B,), its gradient (B, N, D) and its Laplacian (B,), detached, of a network that is `analytic`.

        This takes a few times as long as the drift alone.
        """
        found: tuple[Tensor, Tensor, Tensor] = self._run(self._value_drift_and_laplacian, x)
        return found

    def _run(self, method: Callable[[Tensor], Any], x: Tensor) -> Any:
        """method(x), from a recording if there can be one."""
        return run_recorded(self, method, x) if self.recordable and self.analytic else method(x)

    @property
    def analytic(self) -> bool:
        """Whether log ψ is made of parts that all state their derivatives; its evaluation can then be recorded."""
        if self._analytic is None:
            composed = type(self).forward is LogPsi.forward
            self._analytic = composed and all(part.analytic for part in self.modules() if isinstance(part, Part))
        return self._analytic

    def differentiated(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log ψ (B,) and its gradient (B, N, D), detached, of any network: by automatic differentiation."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            value = self(x)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient

    def _value(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            if not self.analytic:
                return self(x)
            start = Tape(derivatives=False).start(self.coordinates(x))
            value: Tensor = cast(Any, self._composed(cast(Tensor, start))).value
            return value

    def _value_and_drift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._derivatives(x, None) if self.analytic else self.differentiated(x)

    def _value_drift_and_laplacian(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        laplacian = x.new_zeros(x.shape[0])
        value, drift = self._derivatives(x, laplacian)
        return value, drift, laplacian if self.length == 1 else laplacian.div_(self.length**2)

    def _derivatives(self, x: Tensor, laplacian: Tensor | None) -> tuple[Tensor, Tensor]:
        """log ψ (B,) and its gradient; its Laplacian by the internal coordinates is added to `laplacian` (B,), if any."""
        with torch.no_grad():
            tape = Tape(derivatives=True)
            start = tape.start(self.coordinates(x))
            out = cast(Any, self._composed(cast(Tensor, start)))
            tape.differentiate(laplacian)
            gradient = start.own_gradient()
            return out.value, coordinates_last(gradient if self.length == 1 else gradient.div_(self.length))

    def load_state_dict(self, state_dict: Mapping[str, Any], *arguments: Any, **keywords: Any) -> Any:
        """As every module does; names of earlier versions are understood."""
        return super().load_state_dict(self.current_names(state_dict), *arguments, **keywords)

    def current_names(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """A stored state with the names that this version uses."""
        found = {}
        for name, value in state.items():
            old = next(
                (old for old in self.renamed if name == old or (old.endswith(".") and name.startswith(old))), None
            )
            new = name if old is None else self.renamed[old]
            if new is not None:
                found[new if old in (None, name) else new + name.removeprefix(old)] = value
        return found
