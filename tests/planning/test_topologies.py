"""Names of slices become devices to compile for; wrong ones become advice."""

import math

import pytest

from babeldraw.errors import UserError
from babeldraw.planning import topologies
from babeldraw.planning.chips import CHIPS
from babeldraw.planning.topologies import KNOWN, find_topology, topology_devices


@pytest.mark.parametrize("name", ["v4:2x2x1", "v4:8x8x16", "v5p:4x4x4", "v5e:16x16", "v6e:2x4"])
def test_a_chip_is_a_device(name):
    topology = find_topology(name)
    assert topology.num_chips == math.prod(map(int, name.split(":")[1].split("x")))
    assert len(topology_devices(topology)) == topology.num_chips


def test_the_compiler_describes_every_known_slice():
    for family in KNOWN:
        largest = find_topology(f"{family}:{KNOWN[family][-1]}")
        assert len(topology_devices(largest)) == largest.num_devices


def test_a_tpu7x_chip_is_two_devices_that_share_its_memory_and_links():
    for name, chips in (("tpu7x:2x2x1", 4), ("tpu7x:4x4x4", 64)):
        topology = find_topology(name)
        assert (topology.num_chips, topology.num_devices) == (chips, 2 * chips)
        places = [(*device.coords, device.core_on_chip) for device in topology_devices(topology)]
        assert len(set(places)) == 2 * chips
    rates = CHIPS["tpu7x"]
    assert 2 * rates.peak_flops == 2307e12
    assert 2 * 2 * 6 * rates.link_bandwidth == 1200e9  # both devices, both directions, six links


def test_several_slices_are_one_topology():
    topology = find_topology("2xv6e:2x4")
    assert (topology.num_slices, topology.num_chips, topology.shape) == (2, 16, (2, 4))
    slices = [device.slice_index for device in topology_devices(topology)]
    assert sorted(slices) == [0] * 8 + [1] * 8
    assert len(topology_devices(find_topology("3xtpu7x:2x2x1"))) == 24


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("2xv4:8x8x8", "2xv4:8x8x8 cannot be planned: at what rate slices of v4"),
        ("0xv5e:2x2", "no TPU topology '0xv5e:2x2'"),
        ("2xv5e", "no TPU topology '2xv5e'"),
        ("v4:8x8x9", "did you mean v4:8x8x8?"),
        ("v4-1024", "The known ones are v4:2x2x1, v4:2x2x2"),
        ("", "v6e:16x16"),
    ],
)
def test_unknown_slices_are_answered_with_the_known_ones(name, words):
    with pytest.raises(UserError) as error:
        find_topology(name)
    assert words in str(error.value)


def test_without_the_compiler_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(topologies.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "babeldraw\[plan\]"'):
        topology_devices(find_topology("v5e:2x2"))


def test_every_family_has_a_chip():
    assert set(KNOWN) == set(CHIPS)
