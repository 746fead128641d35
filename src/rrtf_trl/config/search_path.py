"""Adds the plugins' folders of configuration to Hydra's search path, after that of rrtf-trl."""

from __future__ import annotations

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins as HydraPlugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from rrtf_trl.plugins import plugins


class RRTFSearchPath(SearchPathPlugin):
    """Appends the paths that plugins return from ``rrtf_config_paths``."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append each path that is not there yet; that of rrtf-trl is Hydra's first."""
        known = {str(item.path).removeprefix("file://") for item in search_path.get_path()}
        for path in plugins().config_paths():
            if path.removeprefix("file://") not in known:
                search_path.append("rrtf_trl", path)


def install() -> None:
    """Register :class:`RRTFSearchPath` with Hydra; a second call does nothing."""
    HydraPlugins.instance().register(RRTFSearchPath)
