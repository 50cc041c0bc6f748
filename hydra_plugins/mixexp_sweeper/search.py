"""Hydra's door to mixexp's searches: `hydra/sweeper=search`. Hydra imports this in every application, so it stays light.

No postponed annotations here: Hydra executes the module before it is in sys.modules, where a dataclass would look them up.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import setup_globals
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


@dataclass
class SearchConf:
    _target_: str = "hydra_plugins.mixexp_sweeper.search.SearchSweeper"
    space: dict[str, Any] = field(default_factory=dict)
    metric: str = "val_macro_f1"
    rule: str = "last"
    direction: str = "maximize"
    trials: int = 100
    seed: int = 0
    startup_trials: int = 10
    pruner: Any = None


ConfigStore.instance().store(group="hydra/sweeper", name="search", node=SearchConf, provider="mixexp")


class SearchSweeper(Sweeper):
    """Optuna chooses the runs, one after the other, from a space of settings."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from hydra_plugins.mixexp_launcher.pool import PlanLauncher, PoolLauncher
        from mixexp.errors import UserError
        from mixexp.plan.composer import composer
        from mixexp.plan.overrides import loaded_groups, parse, refuse, spelled_out
        from mixexp.plan.space import interval

        setup_globals()
        try:
            from mixexp.sweep.search.search import run_search, show_plan
        except ModuleNotFoundError as error:
            if error.name != "optuna":
                raise
            raise UserError("hydra/sweeper = search: Optuna is not installed; pip install 'mixexp[search]'") from None
        if not isinstance(self.launcher, PoolLauncher):
            raise UserError(
                "hydra/launcher: a search trains its trials one after the other where it was started; leave the launcher out, "
                "and start the same command as often as trials shall run at once"
            )
        overrides = parse(arguments, loaded_groups())
        refuse(overrides, loaded_groups())
        searched = {override.key_or_group: interval(override) for override in overrides if override.is_interval_sweep()}
        arguments = [spelled_out(override, loaded_groups()) for override in overrides if not override.is_interval_sweep()]
        _refuse_several([override for override in parse(arguments, loaded_groups()) if override.is_discrete_sweep()])
        settings = {key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value for key, value in self.settings.items()}
        if searched:
            settings["space"] = {**settings["space"], **searched}
        compose = composer(self.hydra_context.config_loader, self.config)
        if isinstance(self.launcher, PlanLauncher):
            return show_plan(compose, arguments, settings)
        failure = run_search(compose, arguments, settings)
        if failure is not None:
            raise failure
        return None


def _refuse_several(several: list[Any]) -> None:
    """Raise UserError for settings with several values, with the words that search for them."""
    from mixexp.errors import UserError
    from mixexp.plan.overrides import loaded_groups, values
    from mixexp.text import in_shell

    if not several:
        return
    found = {override.get_key_element(): values(override, loaded_groups()) for override in several}
    words = " ".join(override.input_line for override in several)
    spaces = " ".join(in_shell(f"hydra.sweeper.space.{key.lstrip('+')}.choices=[{','.join(given)}]") for key, given in found.items())
    raise UserError(f"{words}: a search has one value for all that is not in its space; to search among these: {spaces}")
