"""No file can make the reader run code, and what PyTorch saves comes back bit by bit."""

import collections
import io
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile

import ml_dtypes
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.weights.torch_files import read_state_dict


class Call:
    """Pickles to a call of `function`."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def zipped(pickled, storages=None, method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, data in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", data)
    return buffer.getvalue()


def legacy(*parts):
    header = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    return b"".join(pickle.dumps(part, 2) for part in (*header, *parts))


def tensor_pickle(size, stride, offset=0, numel=4, key="0"):
    """A state dict with one float tensor, put together opcode by opcode."""

    def integers(values):
        return b"(" + b"".join(b"J" + struct.pack("<i", n) for n in values) + b"t"

    name = key.encode()
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\n"
    storage += b"X" + struct.pack("<I", len(name)) + name + b"X\x03\0\0\0cpu"
    storage += b"J" + struct.pack("<i", numel) + b"tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"J" + struct.pack("<i", offset)
    tensor += integers(size) + integers(stride) + b"\x89NtR"
    return b"\x80\x02}X\x01\0\0\0w" + tensor + b"s."


def refused(tmp_path, data):
    path = tmp_path / "weights.pth"
    path.write_bytes(data)
    with pytest.raises(UserError, match="no state dict") as caught:
        read_state_dict(path)
    return str(caught.value)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_state_dicts_of_pytorch_come_back_bit_by_bit(tmp_path, is_zip):
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 4, 5, generator=generator)
    state = collections.OrderedDict(
        weight=weight,
        turned=weight.permute(2, 0, 1),  # another view of the same storage
        part=weight[1:, 2],
        scalar=torch.tensor(7),
        empty=torch.zeros(0, 3),
        half=weight.half(),
        brain=weight.bfloat16(),
        mask=weight > 0,
    )
    path = tmp_path / "weights.pth"
    torch.save(state, path, _use_new_zipfile_serialization=is_zip)
    read = read_state_dict(path)
    assert list(read) == list(state)
    for name, tensor in state.items():
        if name == "brain":
            assert read[name].dtype == ml_dtypes.bfloat16
            read[name], tensor = read[name].astype(np.float32), tensor.float()
        assert read[name].dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(read[name], tensor.numpy())


def test_modules_of_pytorch_come_back(tmp_path):
    """Their state dict has an attribute more, `_metadata`."""
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(2, 3)
    torch.save(layer.state_dict(), tmp_path / "layer.pth")
    read = read_state_dict(tmp_path / "layer.pth")
    np.testing.assert_array_equal(read["weight"], layer.weight.detach().numpy())


def test_torch_is_not_imported(tmp_path):
    (tmp_path / "w.pth").write_bytes(zipped(tensor_pickle((2, 2), (2, 1)), {"0": bytes(16)}))
    code = (
        "import sys; from babeldraw.weights.torch_files import read_state_dict; "
        "print(read_state_dict(sys.argv[1])['w'].shape); "
        "assert not {'torch', 'tensorflow'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "w.pth")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "(2, 2)\n"


@pytest.mark.parametrize("wrap", [zipped, lambda data: data], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "call",
    [
        Call(os.system, "touch {}"),
        Call(eval, "__import__('os').mkdir('{}')"),
        Call(subprocess.check_output, ["touch", "{}"]),
    ],
    ids=["system", "eval", "subprocess"],
)
def test_code_in_a_pickle_is_not_run(tmp_path, wrap, call):
    function, args = call.call
    trap = str(tmp_path / "trap")
    args = [[a.format(trap) for a in x] if isinstance(x, list) else x for x in args]
    args = [x.format(trap) if isinstance(x, str) else x for x in args]
    pickle.loads(pickle.dumps(Call(function, *args)))  # the trap works where nothing is restricted
    assert os.path.exists(trap)
    os.rename(trap, tmp_path / "sprung")
    message = refused(tmp_path, wrap(pickle.dumps({"w": Call(function, *args)}, 2)))
    assert "it names" in message
    assert not os.path.exists(trap)


def test_attributes_of_what_is_named_cannot_be_set_for_others(tmp_path):
    """The BUILD opcode: here it tries to give OrderedDict another `keys`."""
    attack = b"\x80\x02ccollections\nOrderedDict\nN}X\x04\0\0\0keysK\x01s\x86b."
    refused(tmp_path, zipped(attack))
    assert callable(collections.OrderedDict.keys)


@pytest.mark.parametrize(
    ("size", "stride", "offset", "numel"),
    [
        ((2, 2), (2, 2), 0, 4),  # its last entry is the fifth
        ((2, 2), (2, 1), 1, 4),
        ((2, 2), (2, -1), 1, 4),
        ((-2, -2), (2, 1), 0, 4),
        ((2**30, 2**30), (0, 0), 0, 4),  # four numbers seen over and over
        ((2,), (2, 1), 0, 4),
        ((4, 4), (4, 1), 0, 16),  # a storage that says it has more than the file has
    ],
)
def test_tensors_that_leave_their_storage_are_refused(tmp_path, size, stride, offset, numel):
    refused(tmp_path, zipped(tensor_pickle(size, stride, offset, numel), {"0": bytes(16)}))


def test_damaged_and_foreign_files_are_refused(tmp_path):
    good = zipped(tensor_pickle((2, 2), (2, 1)), {"0": bytes(16)})
    for data in (b"", b"\0", b"hello", good[:-30], good[20:], zipped(b"."), zipped(b"\x80\x02N.")):
        refused(tmp_path, data)
    refused(tmp_path, zipped(tensor_pickle((2, 2), (2, 1))))  # no storage
    refused(tmp_path, zipped(pickle.dumps({"w": 3}, 2)))
    refused(tmp_path, legacy({"w": 3}, []))
    refused(tmp_path, legacy({}, ["0"]))
    packed = zipped(tensor_pickle((2, 2), (2, 1)), {"0": bytes(16)}, zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(tmp_path, packed)


def test_a_small_file_cannot_ask_for_a_lot_of_memory(tmp_path):
    """LONG_BINPUT: "remember this as number 20,000,000" (it could be 4 billion)."""
    tracemalloc.start()
    refused(tmp_path, zipped(b"\x80\x02Nr" + struct.pack("<I", 20_000_000) + b"."))
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_any_change_of_a_byte_gives_numbers_or_one_sentence(tmp_path):
    """And never another exception."""
    parts = (tensor_pickle((2, 2), (2, 1)), {"0": bytes(16)})
    path, rng = tmp_path / "weights.pth", np.random.default_rng(0)
    outcomes = collections.Counter()
    for _ in range(300):
        pickled = bytearray(parts[0])
        pickled[rng.integers(len(pickled))] = rng.integers(256)
        path.write_bytes(zipped(bytes(pickled), parts[1]))
        try:
            read = read_state_dict(path)
            outcomes["read"] += 1
            assert all(array.nbytes <= 16 for array in read.values())
        except UserError:
            outcomes["refused"] += 1
    assert min(outcomes["read"], outcomes["refused"]) > 0


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_state_dict(tmp_path / "none.pth")
