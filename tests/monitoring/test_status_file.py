from pathlib import Path

from rrtf_trl.monitoring.status_file import current_status, published
from rrtf_trl.storage.run_folder import RunFolder


def test_only_the_run_at_work_is_told_of(tmp_path: Path) -> None:
    assert current_status() is None
    with published(RunFolder(tmp_path)):
        assert current_status() is not None
    assert current_status() is None
