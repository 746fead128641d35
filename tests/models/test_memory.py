"""Collections of garbage while libraries are imported, and after it."""

import gc
import weakref

import pytest

from rrtf_trl.models.memory import free_memory, importing


class Model:
    """It refers to itself, as models with hooks do."""

    def __init__(self) -> None:
        self.itself = self


def test_collections_leave_aside_what_was_imported_and_nothing_else() -> None:
    gone = weakref.ref(Model())
    with importing():
        assert gone() is None, "what was garbage before would stay for ever"
        assert not gc.isenabled()
        library: list[list[int]] = [[]]
    assert gc.isenabled()
    assert not any(thing is library for thing in gc.get_objects())
    model = Model()
    assert any(thing is model for thing in gc.get_objects())
    later = weakref.ref(model)
    del model
    free_memory()
    assert later() is None


def test_collections_go_on_after_an_import_that_failed() -> None:
    with pytest.raises(ImportError), importing():
        raise ImportError
    assert gc.isenabled()
