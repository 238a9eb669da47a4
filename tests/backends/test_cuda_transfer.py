"""Transfers to a device and back: complete for all arrays, through little pinned memory."""

import gc
import sys
import types

import made_up_cuda
import numpy as np
import pytest

from hdseg_gpu.backends.cuda import transfer

ROW = 7 * 3 * 2  # bytes
SEEDS = range(12)


@pytest.fixture(params=SEEDS)
def made_up(request, monkeypatch):
    """Streams that work at random, a CuPy over them, and the sizes of pinned memory."""
    streams = made_up_cuda.Streams(request.param)
    monkeypatch.setattr(transfer, "_idle", [])
    monkeypatch.setattr(transfer, "_UNIT", 8)
    monkeypatch.setattr(transfer, "_WORTH", 64)
    monkeypatch.setattr(transfer, "_COPIED", 32)  # several threads
    return streams, *made_up_cuda.cuda(monkeypatch, streams)


def image_of(rows, rng):
    return rng.integers(0, 2**16, (rows, 7, 3)).astype(np.uint16)


@pytest.mark.parametrize("most", [1, 3 * ROW, 5 * ROW + 1, 1 << 20])
@pytest.mark.parametrize("keep", [False, True])
def test_strips_are_there_when_kernels_read_them(made_up, monkeypatch, keep, most):
    streams, xp, pinned = made_up
    rng = np.random.default_rng(19)
    monkeypatch.setattr(transfer, "PINNED", most)
    image = image_of(41, rng)[:, ::-1]  # not contiguous
    strips = [image[top : top + 9] for top in range(0, 41, 9)]
    if not keep:
        strips[2] = image[17:28]  # with a halo
    into = None
    if keep:
        whole = xp.empty(image.shape, image.dtype)
        into = [whole[top : top + 9] for top in range(0, 41, 9)]
        # A kernel that is not done with what the memory was before.
        before = []
        streams.current.add(lambda: before.append(np.array(whole)))
    found = []
    for strip in transfer.sent(xp, strips, into):
        streams.current.add(lambda strip=strip: found.append(np.array(strip)))
    streams.current.synchronize()
    for there, expected in zip(found, strips, strict=True):
        np.testing.assert_array_equal(there, expected, strict=True)
    if keep:
        np.testing.assert_array_equal(np.array(whole), image)
        assert (before[0] == 0xA5A5).all()
    # Two buffers, each a row at least.
    assert 0 < pinned.most <= 2 * (max(most, ROW) + 8)


def test_memory_goes_back_when_a_reader_has_stopped(made_up, monkeypatch):
    """To pools that do not know the stream that would still write to it."""
    streams, xp, _ = made_up
    slots, empty = [], xp.empty

    def watched(shape, dtype):
        slots.append(empty(shape, dtype))
        return slots[-1]

    monkeypatch.setattr(xp, "empty", watched)
    image = image_of(40, np.random.default_rng(23))
    coming = transfer.sent(xp, [image[:16], image[16:32], image[32:]], None)
    next(coming)
    coming.close()
    assert len(slots) == 2
    for slot in slots:  # the kernel of whoever has it next
        streams.current.add(lambda slot=slot: slot.fill(7))
    finish(streams)
    assert all((np.array(slot) == 7).all() for slot in slots)


def finish(streams):
    for stream in streams._streams:
        stream.synchronize()


@pytest.mark.parametrize("fetch", [False, True])
def test_calls_in_a_row_have_the_same_pinned_memory(made_up, fetch):
    """No host waits at the end of a call: the next one waits for what it wants."""
    streams, xp, pinned = made_up
    images = [image_of(24, np.random.default_rng(seed)) for seed in range(4)]
    found = []
    for image in images:
        for strip in transfer.sent(xp, [image[:16], image[16:]], None):
            streams.current.add(lambda strip=strip: found.append(np.array(strip)))
        if fetch:
            before, streams.current = streams.current, made_up_cuda.Stream(streams)  # a thread's
            there = xp.empty(image.shape, image.dtype)
            np.copyto(there, 1)
            assert (transfer.fetched(xp, there) == 1).all()
            streams.current = before
    finish(streams)
    for i, image in enumerate(images):
        np.testing.assert_array_equal(np.concatenate(found[2 * i : 2 * i + 2]), image)
    assert len(pinned) == 2


def sent_and_left(xp, image):
    for _ in transfer.sent(xp, [image], None):
        pass


@pytest.mark.parametrize("how", ["released", "too small", "of another device", "not kept"])
def test_pinned_memory_goes_when_nothing_reads_it(made_up, monkeypatch, how):
    streams, xp, _ = made_up
    image = image_of(40, np.random.default_rng(43))
    sent_and_left(xp, image[:8])
    sender, pair = streams._streams[-1], transfer._idle[0]
    if how == "released":
        transfer.release()
    elif how == "too small":
        sent_and_left(xp, image)
    elif how == "of another device":
        monkeypatch.setattr(xp.cuda.runtime, "getDevice", lambda: 1)
        sent_and_left(xp, image[:8])
        assert transfer._idle[0].buffers is pair.buffers
        assert transfer._idle[0].left is not pair.left
    else:
        first = transfer.sent(xp, [image[:8]], None)
        next(first)
        sent_and_left(xp, image[8:16])
        sender = streams._streams[-2]
        first.close()
    assert sender.done >= max(place for _, place in (e.place for e in pair.left if e.place))


def views_of(array):
    """Return what is contiguous and what is not."""
    return {
        "whole": array,
        "rows": array[3:],
        "transposed": array.transpose(1, 2, 0),
        "strided": array[:, ::2],
        "reversed": array[::-1],
    }


@pytest.mark.parametrize("kind", ["whole", "rows", "transposed", "strided", "reversed"])
@pytest.mark.parametrize("piece", [1, 100, 1 << 20])
def test_results_are_there_when_they_are_returned(made_up, monkeypatch, kind, piece):
    streams, xp, pinned = made_up
    monkeypatch.setattr(transfer, "_PIECE", piece)
    values = np.random.default_rng(29).random((11, 5, 6), np.float32)
    there = xp.empty(values.shape, values.dtype)
    streams.current.add(lambda: np.copyto(there, values))  # the kernel that makes them
    found = transfer.fetched(xp, views_of(there)[kind])
    expected = views_of(values)[kind]
    np.testing.assert_array_equal(found, expected, strict=True)
    assert type(found) is np.ndarray
    assert found.flags.c_contiguous
    assert found.flags.owndata
    row = expected[0].nbytes if kind in ("transposed", "strided", "reversed") else 4
    assert 0 < pinned.most <= 2 * (max(piece, row) + 8) or piece > values.nbytes


def test_nothing_is_under_way_when_there_is_no_memory_for_a_result(made_up, monkeypatch):
    """The buffers are the next call's then."""
    streams, xp, _ = made_up

    def full(values, into):
        raise MemoryError

    monkeypatch.setattr(transfer, "_copy", full)
    monkeypatch.setattr(transfer, "_PIECE", 100)
    with pytest.raises(MemoryError):
        transfer.fetched(xp, xp.empty((20, 30)))
    assert streams.current.done == len(streams.current.work) > 0


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float64"])
def test_results_of_any_type(made_up, dtype):
    streams, xp, pinned = made_up
    for shape in ((0, 4), (3,), (13, 17)):
        values = np.random.default_rng(31).integers(0, 2, shape).astype(dtype)
        there = xp.empty(values.shape, values.dtype)
        streams.current.add(lambda there=there, values=values: np.copyto(there, values))
        np.testing.assert_array_equal(transfer.fetched(xp, there), values, strict=True)
    assert pinned.most > 0  # the last one took that way


def test_pinned_memory_is_used_again_and_goes_back(made_up):
    _, xp, pinned = made_up
    image = image_of(40, np.random.default_rng(37))
    for rows in (8, 4, 8, 16, 2):
        for strip in transfer.sent(xp, [image[:rows], image[rows : 2 * rows]], None):
            del strip
    gc.collect()
    assert len(pinned) == 2  # those of the largest, for the next call
    first, second = (transfer.sent(xp, [image[:4], image[4:]], None) for _ in range(2))
    next(first), next(second)  # two calls at once have buffers of their own
    assert len(pinned) == 4
    first.close(), second.close()
    del first, second
    gc.collect()
    assert len(pinned) == 2
    transfer.release()
    gc.collect()
    assert pinned == []


def test_without_pinned_memory_it_is_slower(made_up, monkeypatch):
    _, xp, _ = made_up

    def refused(size, flags):
        raise made_up_cuda.Error("cudaErrorMemoryAllocation: out of memory", 2)

    monkeypatch.setattr(xp.cuda, "PinnedMemory", refused)
    values = np.random.default_rng(41).random((20, 30))
    there = xp.empty(values.shape, values.dtype)
    np.copyto(there, values)
    np.testing.assert_array_equal(transfer.fetched(xp, there), values)

    def lost(size, flags):
        raise made_up_cuda.Error("cudaErrorIllegalAddress", 700)

    transfer.release()
    monkeypatch.setattr(xp.cuda, "PinnedMemory", lost)
    with pytest.raises(made_up_cuda.Error, match="Illegal"):
        transfer.fetched(xp, there)


def test_what_is_pinned_for_a_call_is_bounded():
    """As docs/decisions/0007 has it: 512 MiB for rows up to 256 MiB."""
    from hdseg_gpu.backends.cuda import device

    assert transfer.PINNED == 256 << 20
    assert max(device._STRIP, device._TRANSFER) <= transfer.PINNED // 2
    assert transfer._PIECE <= transfer.PINNED


def test_tables_are_fetched_without_pinned_memory(made_up, monkeypatch):
    _, xp, _ = made_up
    values = np.random.default_rng(47).random((2, 20))
    there = xp.empty(values.shape, values.dtype)
    np.copyto(there, values)
    for status, found in ((2, None), (700, made_up_cuda.Error)):

        def refused(shape, dtype, status=status):
            raise made_up_cuda.Error("refused", status)

        cupyx = types.SimpleNamespace(empty_pinned=refused)
        monkeypatch.setitem(sys.modules, "cupyx", cupyx)
        if found is None:
            for row, expected in zip(transfer.fetched_together(xp, tuple(there)), values,
                                     strict=True):  # fmt: skip
                np.testing.assert_array_equal(row, expected)
        else:
            with pytest.raises(found):
                transfer.fetched_together(xp, tuple(there))
