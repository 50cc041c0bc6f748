"""Hydra's door to mixexp's grids: `hydra/sweeper=grid`. Hydra imports this in every application, so it stays light.

No postponed annotations here: Hydra executes the module before it is in sys.modules, where a dataclass would look them up.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobStatus, setup_globals
from omegaconf import OmegaConf


@dataclass
class GridConf:
    _target_: str = "hydra_plugins.mixexp_sweeper.grid.GridSweeper"
    params: dict[str, str] | None = None
    grid: list[Any] = field(default_factory=list)


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridConf, provider="mixexp")


class GridSweeper(BasicSweeper):
    """Hydra's basic sweeper, with a grid of blocks in an experiment's file beside the common axes of `params`."""

    def __init__(self, params: dict[str, str] | None, grid: list[Any]) -> None:
        super().__init__(max_batch_size=None, params=params)
        self.grid = grid

    def sweep(self, arguments: list[str]) -> Any:
        from hydra_plugins.mixexp_launcher.pool import PoolLauncher
        from mixexp.plan.editions import chosen
        from mixexp.plan.overrides import loaded_groups, parse, refuse, values
        from mixexp.spec.grid import cells

        groups = loaded_groups()
        blocks = OmegaConf.to_container(self.grid, resolve=True) if not isinstance(self.grid, list) else self.grid
        root = {key for key in self.config if key != "hydra"}
        params = parse(self._parse_config(), groups)
        refuse(params, groups)
        if edition := chosen(self.config):  # its cells are the grid, in which the experiment's params are settled
            blocks, params = edition.cells(blocks, self.params, root, groups), []
        # what comes later wins: an axis on the command line replaces the experiment's
        axes = {override.get_key_element(): values(override, groups) for override in [*params, *parse(arguments, groups)]}
        jobs = cells(blocks, axes, root)
        if not isinstance(self.launcher, PoolLauncher):
            return self._hand_over(jobs)
        returns = self.launcher.launch(jobs, initial_job_idx=0)
        for result in returns:
            if result.status == JobStatus.FAILED:
                raise result._return_value  # return_value would print a line of Hydra's before raising the same
        return returns

    def _hand_over(self, jobs: list[list[str]]) -> Any:
        from mixexp.plan.composer import composer
        from mixexp.plan.unknown import compose_all
        from mixexp.sweep.launch import launch_with

        setup_globals()
        compose = composer(self.hydra_context.config_loader, self.config)
        return launch_with(self.launcher, compose_all(compose, jobs), jobs)
