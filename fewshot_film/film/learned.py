"""FiLM values that are parameters: one row for a whole data set, or one for each label, style, speaker or task."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_film.errors import InvalidValueError
from fewshot_film.film.errors import ShapeError, SiteError
from fewshot_film.film.generators import Generator
from fewshot_film.film.sites import Modulations, Sites


class LearnedModulations(nn.Module):
    """Rows of learned values for every site, chosen by index; all start where their site's form says.

    With one row it fine-tunes a network by FiLM alone. With a row per class it is the table of conditional BatchNorm,
    with a row per style that of conditional InstanceNorm.

    Args:
        sites: the sites.
        num_rows: how many sets of values.

    Raises:
        ValueError: ``num_rows`` is below 1.
        SiteError: there are no sites.

    Example:
        >>> filmed = inject_film(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)), after=["1"])
        >>> speakers = LearnedModulations(filmed.sites, num_rows=100)
        >>> filmed(torch.ones(2, 3), speakers(torch.tensor([7, 99]))).shape
        torch.Size([2, 4])

    Source:
        Lian et al., "Scaling & Shifting Your Features", NeurIPS 2022, https://arxiv.org/abs/2210.08823 (one row);
        Dumoulin et al., "A Learned Representation for Artistic Style", ICLR 2017, https://arxiv.org/abs/1610.07629
    """

    def __init__(self, sites: Sites, num_rows: int = 1) -> None:
        super().__init__()
        if num_rows < 1:
            raise InvalidValueError(f"num_rows is {num_rows}, expected at least 1")
        if not sites:
            raise SiteError("LearnedModulations: there are no sites, expected at least one")
        self.sites = sites
        self.residuals = nn.Parameter(torch.zeros(num_rows, sites.flat_dim))

    def forward(self, rows: Tensor | None = None) -> Modulations:
        """Values of the given rows.

        Args:
            rows: a row for each example, ``(B,)`` integers. None: all rows; with one of them, it serves every batch.

        Returns:
            gamma and beta by site name, ``(B, C)`` each.

        Raises:
            ShapeError: ``rows`` is not a vector of integers.
        """
        if rows is None:
            return self.sites.from_residuals(self.residuals)
        if rows.ndim != 1 or rows.dtype not in (torch.int64, torch.int32):
            raise ShapeError(
                f"LearnedModulations: rows have shape {tuple(rows.shape)} and dtype {rows.dtype}, expected (B,) of "
                "int64: the number of a row for each example"
            )
        return self.sites.from_residuals(F.embedding(rows, self.residuals))

    def penalty(self) -> Tensor:
        """Mean squared distance of a row from where it started; a scalar."""
        return self.residuals.square().sum(1).mean()

    def extra_repr(self) -> str:
        """The size, as ``print(module)`` shows it."""
        return f"{len(self.residuals)} x {self.sites.flat_dim}"


def film_parameters(model: nn.Module, *, freeze_others: bool = False) -> list[nn.Parameter]:
    """The parameters of FiLM in a model, for an optimiser that leaves the rest alone.

    Args:
        model: holds generators or :class:`LearnedModulations` among its modules, or is one.
        freeze_others: set ``requires_grad`` of every other parameter to False, which saves their gradients.

    Returns:
        Parameters of all generators and learned values in it, each once.

    Raises:
        SiteError: there are none.

    Example:
        >>> filmed = inject_film(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), after=["1"])
        >>> model = nn.ModuleList([filmed, LearnedModulations(filmed.sites)])
        >>> sum(parameter.numel() for parameter in film_parameters(model))
        16
    """
    sources = [module for module in model.modules() if isinstance(module, Generator | LearnedModulations)]
    found = {parameter: None for source in sources for parameter in source.parameters()}
    if not found:
        raise SiteError(
            f"film_parameters: {type(model).__name__} holds no generator and no LearnedModulations, whose parameters "
            "FiLM's are; make one of them a module of the model, such as LearnedModulations(filmed.sites)"
        )
    if freeze_others:
        for parameter in model.parameters():
            if parameter not in found:
                parameter.requires_grad_(False)
    return list(found)
