"""The plugins through which Hydra reaches mixexp: launchers pool and plan, sweepers grid and search, own options.

Hydra imports this in every application, so it stays light. Annotations are not postponed here: Hydra executes the
module before it is in sys.modules, where a dataclass would look them up.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


@dataclass
class GridConf:
    _target_: str = "hydra_plugins.mixexp_plugins.GridSweeper"
    params: dict[str, str] | None = None
    grid: list[Any] = field(default_factory=list)


@dataclass
class SearchConf:
    _target_: str = "hydra_plugins.mixexp_plugins.SearchSweeper"
    space: dict[str, Any] = field(default_factory=dict)
    metric: str = "val_macro_f1"
    rule: str = "last"
    direction: str = "maximize"
    trials: int = 100
    seed: int = 0
    startup_trials: int = 10
    pruner: Any = None


store = ConfigStore.instance()
for launcher in ("Pool", "Plan"):
    node = {"_target_": f"hydra_plugins.mixexp_plugins.{launcher}Launcher"}
    store.store(group="hydra/launcher", name=launcher.lower(), node=node, provider="mixexp")
store.store(group="hydra/sweeper", name="grid", node=GridConf, provider="mixexp")
store.store(group="hydra/sweeper", name="search", node=SearchConf, provider="mixexp")
# config.yaml takes the settings of mixexp.yaml from this entry
store.store(name="mixexp_project", node={}, package="_global_", provider="mixexp")


class OwnFolders(SearchPathPlugin):
    """Options from the user's folders, after the program's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        from mixexp.plan.options import SEARCHED

        for folder in SEARCHED:
            search_path.append(provider="mixexp", path=f"file://{folder.absolute()}")


class PoolLauncher(Launcher):
    """Composes and validates all cells before the first starts, then runs them on every slot of this machine."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        setup_globals()
        self._sweep(job_overrides)
        return [JobReturn(overrides=overrides, status=JobStatus.COMPLETED) for overrides in job_overrides]

    def _sweep(self, job_overrides: Sequence[Sequence[str]]) -> None:
        from mixexp.sweeping.slot import warm_up

        warm_up(self.config.threads)
        from mixexp.sweeping.launch import launch

        launch(_composed(self, job_overrides), job_overrides)


class PlanLauncher(PoolLauncher):
    """Prints the pool's plan, and starts nothing."""

    def _sweep(self, job_overrides: Sequence[Sequence[str]]) -> None:
        from mixexp.sweeping.launch import show_plan

        show_plan(_composed(self, job_overrides), job_overrides)


class _Sweeper(BasicSweeper):
    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        # Hydra has read its words; records and messages show the user's own
        sys.argv[:] = getattr(task_function, "command_line", sys.argv)


class GridSweeper(_Sweeper):
    """Hydra's basic sweeper, with a grid of blocks in an experiment's file and the common axes of `params`."""

    def __init__(self, params: dict[str, str] | None, grid: list[Any]) -> None:
        super().__init__(max_batch_size=None, params=params)
        self.grid = grid

    def sweep(self, arguments: list[str]) -> Any:
        from mixexp.plan.editions import chosen
        from mixexp.plan.overrides import axes_of, loaded_groups, parse, values
        from mixexp.spec.grid import cells

        groups = loaded_groups()
        assert self.config is not None and self.launcher is not None  # Hydra calls setup before
        blocks: Any = self.grid if isinstance(self.grid, list) else OmegaConf.to_container(self.grid, resolve=True)
        root = {str(key) for key in self.config if key != "hydra"}
        axes = axes_of(self.params or {}, groups)
        if edition := chosen(self.config):  # its cells are the grid, in which the experiment's params are settled
            blocks, axes = edition.cells(blocks, self.params or {}, root, groups), {}
        # what comes later wins: an axis on the command line replaces the experiment's
        axes |= {override.get_key_element(): values(override, groups) for override in parse(arguments, groups)}
        jobs = cells(blocks, axes, root)
        if isinstance(self.launcher, PoolLauncher):
            return self.launcher.launch(jobs, initial_job_idx=0)
        from mixexp.sweeping.launch import launch_with

        setup_globals()
        return launch_with(self.launcher, _composed(self, jobs), jobs)


def _composed(plugin: Any, jobs: Sequence[Sequence[str]]) -> list[Any]:
    """The configuration of every job; plugin: a launcher or sweeper that Hydra has set up."""
    from mixexp.plan.composer import composer
    from mixexp.plan.unknown import compose_all

    return compose_all(composer(plugin.hydra_context.config_loader, plugin.config), jobs)


class SearchSweeper(_Sweeper):
    """A search, in which Optuna chooses the runs from a space of settings; set up like Hydra's basic sweeper."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(max_batch_size=None)
        self.settings = settings

    def sweep(self, arguments: list[str]) -> None:
        from mixexp.errors import UserError
        from mixexp.plan.composer import composer
        from mixexp.plan.overrides import loaded_groups, parse, refuse, spelled_out, values
        from mixexp.plan.space import interval
        from mixexp.text import in_shell

        setup_globals()
        try:
            from mixexp.sweeping.search.search import run_search, show_plan
        except ModuleNotFoundError as error:
            if error.name != "optuna":
                raise
            raise UserError("hydra/sweeper = search: Optuna is not installed; pip install 'mixexp[search]'") from None
        if not isinstance(self.launcher, PoolLauncher):
            raise UserError(
                "hydra/launcher: a search trains its trials one after the other where it was started; leave the"
                " launcher out, and start the same command as often as trials shall run at once"
            )
        overrides = parse(arguments, loaded_groups())
        refuse(overrides, loaded_groups())
        searched = {override.key_or_group: interval(override) for override in overrides if override.is_interval_sweep()}
        arguments = [
            spelled_out(override, loaded_groups()) for override in overrides if not override.is_interval_sweep()
        ]
        if several := [override for override in parse(arguments, loaded_groups()) if override.is_discrete_sweep()]:
            given = {
                override.get_key_element().lstrip("+"): ",".join(values(override, loaded_groups()))
                for override in several
            }
            words = " ".join(str(override.input_line) for override in several)
            spaces = " ".join(in_shell(f"hydra.sweeper.space.{key}.choices=[{texts}]") for key, texts in given.items())
            raise UserError(
                f"{words}: a search has one value for all that is not in its space; to search among these: {spaces}"
            )
        settings: dict[str, Any] = {
            key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for key, value in self.settings.items()
        }
        if searched:
            settings["space"] = {**settings["space"], **searched}
        assert self.hydra_context is not None and self.config is not None  # Hydra calls setup before
        compose = composer(self.hydra_context.config_loader, self.config)
        if isinstance(self.launcher, PlanLauncher):
            return show_plan(compose, arguments, settings)
        from mixexp.reporting.search import write_search

        run_search(compose, arguments, settings, write_search)
