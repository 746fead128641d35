from collections.abc import Iterator

import pytest
from scripted_judge import fair_judge

from scripted_server import ScriptedServer


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(fair_judge) as server:
        yield server
