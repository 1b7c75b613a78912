"""The census finds every collective once, with its bytes, its axes, and how often it runs."""

from pathlib import Path

import numpy as np
import pytest

from babeldraw.planning import hlo, traffic
from babeldraw.planning.collectives import device_groups, find_collectives

PROGRAM = (Path(__file__).parent / "train_step.hlo").read_text()
MESH = {"data": 128, "stage": 1, "model": 4}
ROWS = find_collectives(hlo.Program(PROGRAM), MESH)


def only(kind, shape=None):
    (row,) = [row for row in ROWS if row.kind == kind and shape in (None, row.shape)]
    return row


def test_every_collective_is_counted_once():
    assert sorted(row.kind for row in ROWS) == [
        *("all-gather", "all-reduce", "all-reduce", "collective-permute", "reduce-scatter")
    ]


def test_in_a_loop_it_counts_as_often_as_the_loop_runs():
    row = only("all-gather")
    assert (row.in_loop, row.count, row.times) == (True, 1, 36)
    assert row.loop == "jit(step)/jvp(EncoderDecoder)/decoder"
    assert row.bytes == 64 * 1024 * 2048 * 2
    assert row.total_bytes == 36 * row.bytes
    assert row.source == "EncoderDecoder/decoder/layer/self_attention/query/dot_general"


def test_a_fused_all_reduce_and_slice_is_a_reduce_scatter():
    row = only("reduce-scatter")
    assert (row.dtype, row.shape, row.axes) == ("bf16", (64, 1024, 2048), ("model",))
    assert row.source.endswith("self_attention/output/dot_general")


def test_start_and_done_are_one():
    row = only("collective-permute")
    assert (row.overlapped, row.times, row.shape) == (True, 36, (64, 1024, 512))
    assert row.axes == ("model",)


def test_pieces_of_a_spread_collective_are_one():
    # As v5e programs have it: begun outside the loop, carried on inside it.
    config = 'backend_config={"async_collective_fusion_config":{"flag_start":"2"}}'
    begun = (
        "%begun = bf16[64,1024,2048]{2,1,0} all-gather(%p.1), channel_id=66, "
        f"replica_groups=[128,4]<=[512], dimensions={{2}}, {config}"
    )
    text = PROGRAM.replace("stack_frame_id=4}", f"stack_frame_id=4}}, {config}")
    text = text.replace("  %constant.0 = ", f"  {begun}\n  %constant.0 = ")
    rows = find_collectives(hlo.Program(text), MESH)
    (row,) = [row for row in rows if row.kind == "all-gather"]
    assert (row.count, row.times, row.in_loop, row.overlapped) == (1, 1, False, True)


def test_what_another_core_sends_counts():
    """As tpu7x programs have it, whose collectives run on the SparseCore."""
    sent = (
        "%sent (q: f32[4096,4096]) -> f32[32,4096] {\n  %q = f32[4096,4096]{1,0} parameter(0)\n"
        "  ROOT %rs = f32[32,4096]{1,0} reduce-scatter(%q), replica_groups=[1,128]<=[128], "
        'dimensions={0}, to_apply=%add\n}, execution_thread="sparsecore"\n'
    )
    main = (
        "ENTRY %main (p: f32[4096,4096]) -> f32[32,4096] {\n"
        "  %p = f32[4096,4096]{1,0} parameter(0)\n"
        "  %begun = ((f32[4096,4096]{1,0}), f32[32,4096]{1,0}) call-start(%p), "
        'async_execution_thread="sparsecore", to_apply=%sent\n'
        "  ROOT %ended = f32[32,4096]{1,0} call-done(%begun)\n}\n"
    )
    program = hlo.Program(f"HloModule m\n\n{sent}\n{main}")
    (row,) = find_collectives(program, {"data": 128})
    assert (row.kind, row.bytes, row.times, row.overlapped) == ("reduce-scatter", 2**26, 1, True)
    # Its operand is read and its result written once, by the other core.
    assert traffic.hbm_bytes(program) == 2**26 + 2**19


def test_outside_loops_each_array_of_a_tuple_is_told():
    row = only("all-reduce", (2048, 2048))
    assert (row.dtype, row.in_loop, row.times, row.axes) == ("f32", False, 1, ("data",))
    assert row.group_size == 128
    assert only("all-reduce", (128,)).bytes == 512


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("replica_groups={{0,1},{2,3}}, use", [[0, 1], [2, 3]]),
        ("replica_groups=[2,2]<=[4], use", [[0, 1], [2, 3]]),
        ("replica_groups=[2,2]<=[2,2]T(1,0), use", [[0, 2], [1, 3]]),
        ("replica_groups=mesh['a'=2,'b'=2] {'a'}, use", [[0, 2], [1, 3]]),
        ("replica_groups=mesh['a'=2,'b'=2], device_ids=([2,2]T(1,0)) {'a'}", [[0, 1], [2, 3]]),
        ("replica_groups={}, use", [[0, 1, 2, 3]]),
        ("source_target_pairs={{0,1},{1,0}}", [[0, 1], [1, 0]]),
    ],
)
def test_all_forms_of_groups(text, groups):
    np.testing.assert_array_equal(device_groups(text, 4), groups)


def test_unreadable_groups_are_admitted():
    assert device_groups("replica_groups=something new", 4) is None


def test_a_loop_without_a_known_count_is_counted_once_and_said_so():
    program = hlo.Program(PROGRAM.replace("direction=LT", "direction=NE"))
    assert [(e.times, e.certain) for e in program.executions] == [(1, True), (1, False)]


def test_a_count_that_the_compiler_wrote_down_is_used():
    known = 'metadata={op_name="jit(step)/jvp(EncoderDecoder)/decoder/while" stack_frame_id=357}'
    text = PROGRAM.replace(known, known + ', backend_config={"known_trip_count":{"n":"7"}}')
    assert hlo.Program(text).executions[1].times == 7


def test_memory_traffic_counts_slices_of_stacked_weights_and_skips_on_chip_memory():
    activation, gathered, layer = 64 * 1024 * 512 * 2, 64 * 1024 * 2048 * 2, 2048 * 512 * 2
    loop = 36 * (
        2 * layer  # slice of the stack, and its copy
        + (activation + gathered)  # all-gather
        + (gathered + activation)  # reduce-scatter
        + activation  # the shift reads; what it writes is on the chip
        + 4 + 4 + 4  # i + 1
    )  # fmt: skip
    gradient = 2048 * 2048 * 4
    outside = (activation + gradient) + (2 * gradient + gradient + 512)
    slice_index = 36 * 4  # the fusion reads the layer's number
    assert traffic.hbm_bytes(hlo.Program(PROGRAM)) == loop + outside + slice_index


@pytest.mark.parametrize(
    ("dtype", "size"), [("pred", 8), ("bf16", 16), ("s4", 4), ("f8e4m3fn", 8), ("u32", 32)]
)
def test_bits_of_dtypes(dtype, size):
    assert hlo.bits(dtype) == size


def test_what_is_no_program_is_refused():
    with pytest.raises(AssertionError, match="no ENTRY"):
        hlo.Program("HloModule empty")


def test_gradients_added_in_place_count_a_layer_and_not_the_stack():
    text = """\
HloModule sums

%add_in_place (stack: f32[36,8,8], layer: s32[], new: f32[1,8,8]) -> f32[36,8,8] {
  %stack = f32[36,8,8]{2,1,0} parameter(0)
  %layer = s32[] parameter(1)
  %new = f32[1,8,8]{2,1,0} parameter(2)
  %zero = s32[] constant(0)
  %old = f32[1,8,8]{2,1,0} dynamic-slice(%stack, %layer, %zero, %zero), dynamic_slice_sizes={1,8,8}
  %sum = f32[1,8,8]{2,1,0} add(%old, %new)
  ROOT %updated = f32[36,8,8]{2,1,0} dynamic-update-slice(%stack, %sum, %layer, %zero, %zero)
}

ENTRY %main (p0: f32[36,8,8], p1: s32[], p2: f32[1,8,8]) -> f32[36,8,8] {
  %p0 = f32[36,8,8]{2,1,0} parameter(0)
  %p1 = s32[] parameter(1)
  %p2 = f32[1,8,8]{2,1,0} parameter(2)
  ROOT %result = f32[36,8,8]{2,1,0} fusion(%p0, %p1, %p2), kind=kLoop, calls=%add_in_place
}
"""
    layer, index = 8 * 8 * 4, 4
    # The layer is read and written, the new part read; the index once a use, at most its size.
    assert traffic.hbm_bytes(hlo.Program(text)) == 3 * layer + index


def test_what_stands_behind_a_kernel_is_read_and_the_kernel_reads_its_operands():
    text = (Path(__file__).parent / "kernel.hlo").read_text()
    program = hlo.Program(text)
    entry = program.computations[program.entry]
    kernel = entry["splash_mha_fwd_no_residuals.1"]
    assert kernel.op_name.endswith("/pallas_call")
    assert len(kernel.operands) == 6
    assert program.root(program.entry).opcode == "fusion"  # two kernels' attributes further on
    heads, scratch, steps = 2 * 256 * 128 * 2, 128 * 128 * 4, 4
    moved = (
        heads + 2 * steps  # queries, and which blocks to compute, go to on-chip memory
        + 2 * heads + 3 * scratch  # keys and values are read; the output stays on the chip
        + heads  # the fusion's
    )  # fmt: skip
    assert traffic.hbm_bytes(program) == moved


BETWEEN = """HloModule m

%%body (p: (s32[], f32[64,8,128])) -> (s32[], f32[64,8,128]) {
  %%p = (s32[], f32[64,8,128]) parameter(0)
  %%i = s32[] get-tuple-element(%%p), index=0
  %%part = f32[64,8,128]{2,1,0} get-tuple-element(%%p), index=1
  %%token = token[] after-all()
  %%send = (f32[64,8,128]{2,1,0}, u32[], token[]) send(%%part, %%token), channel_id=2, %(to)s
  %%recv = (f32[64,8,128]{2,1,0}, u32[], token[]) recv(%%token), channel_id=1, %(to)s
  %%sent = token[] send-done(%%send), channel_id=2
  %(beside)s
  %%got = (f32[64,8,128]{2,1,0}, token[]) recv-done(%%recv), channel_id=1
  %%new = f32[64,8,128]{2,1,0} get-tuple-element(%%got), index=0
  ROOT %%next = (s32[], f32[64,8,128]) tuple(%%i, %%new)
}

%%condition (q: (s32[], f32[64,8,128])) -> pred[] {
  %%q = (s32[], f32[64,8,128]) parameter(0)
  %%j = s32[] get-tuple-element(%%q), index=0
  %%four = s32[] constant(4)
  ROOT %%lt = pred[] compare(%%j, %%four), direction=LT, metadata={op_name="jit(f)/a/while/cond/lt"}
}

ENTRY %%main (x: f32[64,8,128]) -> (s32[], f32[64,8,128]) {
  %%x = f32[64,8,128]{2,1,0} parameter(0)
  %%one = s32[] constant(1)
  %%start = s32[] copy(%%one)
  %%state = (s32[], f32[64,8,128]) tuple(%%start, %%x)
  ROOT %%loop = (s32[], f32[64,8,128]) while(%%state), condition=%%condition, body=%%body
}
"""
TO = (
    'is_host_transfer=true, frontend_attributes={_xla_megascale_target="{1,2,3}x{0:3}",'
    '_xla_megascale_transfer_type="%s"}'
)


@pytest.mark.parametrize(
    ("kind", "beside"), [("ALL_REDUCE", True), ("ALL_REDUCE", False), ("ALL_GATHER", False)]
)
def test_what_goes_to_other_slices_is_counted_once(kind, beside):
    """As programs of several slices have it: through the hosts, in a loop whose first turn stands
    before it."""
    work = "%work = f32[64,8,128]{2,1,0} convolution(%part, %part)" if beside else ""
    program = hlo.Program(BETWEEN % {"to": TO % kind, "beside": work})
    (row,) = find_collectives(program, {"data": 1, "stage": 1, "model": 4})
    assert (row.kind, row.axes, row.group_size) == (kind.lower().replace("_", "-"), ("slices",), 3)
    assert (row.bytes, row.count, row.times, row.loop) == (2**18, 1, 3, "jit(f)/a")
    assert row.overlapped is beside
    if not beside:
        # Read to be sent, written when it has come.
        assert traffic.hbm_bytes(program) == pytest.approx(3 * 2 * 2**18, rel=1e-4)
