"""When a file is read: once it has come to rest, and once."""

import pytest

from services.ingress.policy_source import PolicySource, Settling, Signature
from shared.policy import PolicyFault

A, B, C = (Signature(1, inode, 10, 5, 5) for inode in (1, 2, 3))


@pytest.mark.parametrize(
    ("seen", "due"),
    [
        pytest.param([A, A, A], [True, False, False], id="at first sight, and no more"),
        pytest.param([A, B, B, B], [True, False, True, False], id="after a change, once it rests"),
        pytest.param([A, B, C, C, C], [True, False, False, True, False], id="while it changes, not at all"),
        pytest.param([A, B, A, A], [True, False, False, False], id="what was changed back is no news"),
        pytest.param([A, None, None, None], [True, False, True, False], id="gone"),
        pytest.param([A, None, A, A], [True, False, False, False], id="replaced by itself"),
        pytest.param([None, None, A, A, A], [True, False, False, True, False], id="not there at first"),
    ],
)
def test_a_file_is_due(seen, due):
    settling = Settling()
    assert [settling.is_due(look) for look in seen] == due


async def test_a_file_that_a_link_leads_to_is_followed(tmp_path):
    """As mounted config maps are changed: a link to a folder is replaced by another one."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "tierwise.yaml").write_text(f"nonsense-{version}: 1")
    (tmp_path / "data").symlink_to("one")
    (tmp_path / "tierwise.yaml").symlink_to("data/tierwise.yaml")
    source = PolicySource(tmp_path / "tierwise.yaml", {})
    with pytest.raises(PolicyFault, match="nonsense-one"):
        await source.changed()
    assert await source.changed() is None
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "data")
    assert await source.changed() is None
    with pytest.raises(PolicyFault, match="nonsense-two"):
        await source.changed()
    (tmp_path / "tierwise.yaml").unlink()
    assert await source.changed() is None
    with pytest.raises(PolicyFault, match="is gone"):
        await source.changed()
