import hashlib
from pathlib import Path

import pytest
import yaml

from tierwise.demo import demo_config, demo_models, smollm2_file
from tierwise.large_model import LOCK, assemble, locked_parts
from tierwise.part import CannotStart
from tierwise.progress import curl_line, psql_line


@pytest.mark.parametrize("large", [None, Path("/models/large.gguf")])
def test_the_demos_backends_have_names_of_their_own_and_the_large_tier_costs_more(large):
    small, big = yaml.safe_load(demo_config(demo_models(8001, 8002, large)))["backends"]
    assert (small["name"], big["name"]) == ("small-1", "large-1")
    assert small["model"] != big["model"]
    assert small["base_url"] == "http://127.0.0.1:8001/v1"
    assert all(small["price"][kind] < big["price"][kind] for kind in small["price"])


def test_the_small_model_is_found_without_importing_its_package():
    assert smollm2_file().stat().st_size == 98_362_432


def test_the_larger_models_slices_come_in_the_order_of_their_numbers():
    entries = locked_parts(LOCK.read_text())
    assert len(entries) == 22
    assert [entry.split("==")[0].rpartition("part")[2] for entry in entries] == [str(n) for n in range(1, 23)]
    assert all("--hash=sha256:" in entry for entry in entries)


def test_an_assembled_model_is_the_slices_in_order_and_each_slice_is_gone(tmp_path):
    slices = slices_in(tmp_path)
    assemble(slices, tmp_path / "model", hashlib.sha256(b"onetwo").hexdigest())
    assert (tmp_path / "model").read_bytes() == b"onetwo"
    assert not any(piece.exists() for piece in slices)


def test_a_model_that_is_not_the_makers_is_refused_and_removed(tmp_path):
    with pytest.raises(CannotStart, match="refused"):
        assemble(slices_in(tmp_path), tmp_path / "model", hashlib.sha256(b"twoone").hexdigest())
    assert not (tmp_path / "model").exists()


def test_what_is_there_to_paste_shows_no_secret_and_survives_spaces():
    line = psql_line(Path("/a b/psql"), Path("/c d/pgpass"), 5432)
    assert line.startswith("PGPASSFILE='/c d/pgpass' '/a b/psql' -h 127.0.0.1 -p 5432")
    assert curl_line("http://127.0.0.1:8080").startswith("curl http://127.0.0.1:8080/v1/chat/completions")


def slices_in(folder):
    slices = [folder / "1", folder / "2"]
    for piece, content in zip(slices, (b"one", b"two"), strict=True):
        piece.write_bytes(content)
    return slices
