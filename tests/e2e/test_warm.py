"""Reading ahead: the file of the profile that is likely to be next is in the page cache."""

import ctypes
import mmap
import os
import shutil

from harness import auto_route, model_file, profile
from wire import wait_until

LIBC = ctypes.CDLL(None, use_errno=True)


def resident(path):
    """The share of the file's pages that are in memory (mincore(2))."""
    with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE,
                                          mmap.PROT_READ | mmap.PROT_WRITE) as area:
        pages = -(-len(area) // mmap.PAGESIZE)
        vector = (ctypes.c_ubyte * pages)()
        start = ctypes.addressof(ctypes.c_char.from_buffer(area))
        if LIBC.mincore(ctypes.c_void_p(start), ctypes.c_size_t(len(area)), vector) != 0:
            raise OSError(ctypes.get_errno(), "mincore")
        del start
        return sum(v & 1 for v in vector) / pages


def forget(path):
    """Out of the page cache, as far as the kernel likes."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def two(tmp_path):
    own = tmp_path / "chat.gguf"
    shutil.copy(model_file("demo-chat"), own)
    return own, {"demo-chat": profile("demo-chat", MODEL=own), "demo-coder": profile("demo-coder")}


ROUTE = {"20-auto.conf": auto_route("demo-chat,demo-coder")}


def test_the_likely_next_is_read_while_another_works(make_gateway, tmp_path):
    own, models = two(tmp_path)
    gw = make_gateway(models, ROUTE, manager={"RAM": 300})
    assert gw.chat("hi", model="demo-chat").status == 200
    gw.cli("unload", "demo-chat")
    gw.wait_profile("demo-chat", "off")
    forget(own)
    cold = resident(own)
    assert gw.chat("hi", model="demo-coder").status == 200
    wait_until(lambda: "demo-chat: its file was read ahead" in gw.log, 10, "the reading")
    assert resident(own) == 1.0, f"{cold} before"


def test_not_what_nobody_asked_for(make_gateway, tmp_path):
    _, models = two(tmp_path)
    gw = make_gateway(models, ROUTE, manager={"RAM": 300})
    assert gw.chat("hi", model="demo-coder").status == 200
    gw.cli("status")
    assert "read ahead" not in gw.log


def test_not_beyond_the_budget(make_gateway, tmp_path):
    _, models = two(tmp_path)
    for budget in (0, 1):
        gw = make_gateway(models, ROUTE, manager={"RAM": 300, "READAHEAD": budget})
        assert gw.chat("hi", model="demo-chat").status == 200
        assert gw.chat("hi", model="demo-coder").status == 200
        assert gw.chat("hi", model="demo-coder").status == 200
        assert "read ahead" not in gw.log
