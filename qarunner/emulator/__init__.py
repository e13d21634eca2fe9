"""The four vendors' HTTP APIs on loopback, read from their pages alone: nothing here knows the rest of qarunner."""

from qarunner.emulator.scenario import Scenario, ScenarioError, load_scenario, read_scenario
from qarunner.emulator.server import Running, serve

__all__ = ["Running", "Scenario", "ScenarioError", "load_scenario", "read_scenario", "serve"]
