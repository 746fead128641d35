from collections.abc import Iterator

import pytest

from support.scripted_judge import fair_judge
from support.scripted_server import ScriptedServer


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(fair_judge) as server:
        yield server
