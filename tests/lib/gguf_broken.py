"""Broken and unusual GGUF files, for tests of what reads them.

KINDS has for each name a function that returns the bytes of such a file. `broken-` files break
the format, or claim what no model can be; a reader may take some of them (it need not look at
everything), but must neither crash, hang nor take much memory. `odd-` files are sound.
"""

import dataclasses
import struct

from gguf import (ALIGNMENT, ARRAY, BOOL, I32, MAGIC, STRING, TOKENIZER_FROM, TOYS, U8, U16, U32,
                  U64, Builder, Value, pack_tensor, pack_value, place, read, text_bytes)


def _small():
    """A sound, very small model to break."""
    shape = dataclasses.replace(TOYS["llama"], layers=2, embd=64, heads=2, kv_heads=1, ff=64)
    return Builder(shape).build(read(TOKENIZER_FROM))


def _raw_kv(name, kind, rest):
    """A pair of the metadata whose value is any bytes."""
    return text_bytes(name) + struct.pack("<I", kind) + rest


class Pieces:
    """A file in pieces, each of which can be replaced before they are joined."""

    def __init__(self, model=None):
        model = model or _small()
        self.data_size = place(model.tensors)
        self.version = struct.pack("<I", 3)
        self.n_tensors, self.n_kv = len(model.tensors), len(model.kv)
        self.kv = [text_bytes(name) + pack_value(value) for name, value in model.kv.items()]
        self.tensors = [pack_tensor(tensor) for tensor in model.tensors]

    def join(self, data=True):
        out = MAGIC + self.version + struct.pack("<QQ", self.n_tensors, self.n_kv)
        out += b"".join(self.kv) + b"".join(self.tensors)
        out += bytes(-len(out) % ALIGNMENT)
        return out + bytes(self.data_size if data else 0)

    def cut(self, part, keep):
        """The file, cut in the middle of one part."""
        start = {"kv": 24, "tensors": 24 + sum(map(len, self.kv))}[part]
        return self.join()[:start + keep]

    def more(self, kind, rest, name="general.extra"):
        """The file with one more pair, first of all, as raw bytes."""
        self.kv.insert(0, _raw_kv(name, kind, rest))
        self.n_kv += 1
        return self.join()


def _values(**changes):
    """A model with other values: names with __ for the dots; None leaves the value out."""
    model = _small()
    for name, value in changes.items():
        name = name.replace("__", ".")
        if value is None:
            model.kv.pop(name, None)
        else:
            model.kv[name] = value
    return Pieces(model).join()


def _tensor(change, number=3):
    """A model with one tensor's record changed after the others were placed."""
    model = _small()
    out = Pieces(model)
    tensor = model.tensors[number]
    change(tensor, model)
    out.tensors[number] = pack_tensor(tensor)
    return out.join()


def _tensor_type(number):
    out = Pieces()
    record = out.tensors[3]
    out.tensors[3] = record[:-12] + struct.pack("<I", number) + record[-8:]
    return out.join()


def _dims(count):
    """A tensor of COUNT dimensions, each of them 1."""
    out = Pieces()
    name = text_bytes("blk.0.attn_norm.weight")
    out.tensors[3] = (name + struct.pack("<I", count) + struct.pack("<Q", 1) * min(count, 64)
                      + struct.pack("<IQ", 0, 0))
    return out.join()


def _counts(**counts):
    out = Pieces()
    for name, value in counts.items():
        setattr(out, name, value)
    return out.join()


def _big_endian():
    """As converters write it for such machines: the same letters first, all numbers swapped."""
    out = MAGIC + struct.pack(">IQQ", 3, 0, 1)
    for text in (b"general.architecture", b"llama"):
        kind = struct.pack(">I", STRING) if text == b"llama" else b""
        out += kind + struct.pack(">Q", len(text)) + text
    return out + bytes(-len(out) % ALIGNMENT)


def _text_value(length):
    return Pieces().more(STRING, struct.pack("<Q", length) + b"abc")


def _array(sub, count, data=b""):
    return Pieces().more(ARRAY, struct.pack("<IQ", sub, count) + data)


def _nested(depth):
    return _array(ARRAY, 1, struct.pack("<IQ", ARRAY, 1) * depth + struct.pack("<IQ", U8, 0))


def _u32(value):
    return Value(U32, value)


def _split(number, count=3):
    return _values(split__no=Value(U16, number), split__count=Value(U16, count),
                   split__tensors__count=Value(I32, 99))


def _twice(part):
    out = Pieces()
    getattr(out, part).append(getattr(out, part)[2])
    return _counts(**{part: getattr(out, part), "n_" + part: len(getattr(out, part))})


BROKEN = {
    "empty": lambda: b"",
    "html": lambda: b"<!doctype html><title>Not found</title>\n",
    "magic": lambda: b"GGML" + Pieces().join()[4:],
    "version-0": lambda: _counts(version=struct.pack("<I", 0)),
    "version-1": lambda: _counts(version=struct.pack("<I", 1)),
    "version-99": lambda: _counts(version=struct.pack("<I", 99)),
    "big-endian": _big_endian,
    "cut-magic": lambda: b"GGU",
    "cut-version": lambda: Pieces().join()[:6],
    "cut-counts": lambda: Pieces().join()[:20],
    "cut-key": lambda: Pieces().cut("kv", 14),
    "cut-value": lambda: Pieces().cut("kv", 43),
    "cut-array": lambda: Pieces().cut("kv", 9000),
    "cut-tensors": lambda: Pieces().cut("tensors", 100),
    "cut-data": lambda: Pieces().join()[:-1000],
    "no-data": lambda: Pieces().join(data=False),
    "kv-count": lambda: _counts(n_kv=1 << 63),
    "kv-one-more": lambda: _counts(n_kv=Pieces().n_kv + 1),
    "tensor-count": lambda: _counts(n_tensors=(1 << 64) - 1),
    "tensor-one-more": lambda: _counts(n_tensors=Pieces().n_tensors + 1),
    "key-length": lambda: MAGIC + struct.pack("<IQQQ", 3, 0, 1, 1 << 40) + bytes(64),
    "text-length": lambda: _text_value((1 << 64) - 1),
    "text-beyond": lambda: _text_value(1 << 30),
    "array-length": lambda: _array(U32, 1 << 62),
    "array-wraps": lambda: _array(U64, (1 << 61) + 1),
    "array-of-texts": lambda: _array(STRING, 1 << 40),
    "array-type": lambda: _array(77, 4, bytes(16)),
    "array-nested": lambda: _nested(1),
    "array-deep": lambda: _nested(5000),
    "value-type": lambda: Pieces().more(77, bytes(8)),
    "bool": lambda: Pieces().more(BOOL, b"\x07"),
    "key-empty": lambda: Pieces().more(U32, bytes(4), name=""),
    "key-twice": lambda: _twice("kv"),
    "tensor-twice": lambda: _twice("tensors"),
    "tensor-type": lambda: _tensor_type(999),
    "tensor-type-gone": lambda: _tensor_type(4),
    "dims-0": lambda: _dims(0),
    "dims-9": lambda: _dims(9),
    "dims-many": lambda: _dims(0xFFFFFFFF),
    "dim-0": lambda: _tensor(lambda t, _: setattr(t, "dims", (0, 64))),
    "dim-wraps": lambda: _tensor(lambda t, _: setattr(t, "dims", (1 << 40, 1 << 40))),
    "dim-odd": lambda: _tensor(lambda t, _: (setattr(t, "dims", (33, 64)),
                                             setattr(t, "type", "Q8_0"))),
    "offset-beyond": lambda: _tensor(lambda t, _: setattr(t, "offset", 1 << 40)),
    "offset-wraps": lambda: _tensor(lambda t, _: setattr(t, "offset", (1 << 64) - 32)),
    "offset-odd": lambda: _tensor(lambda t, _: setattr(t, "offset", t.offset + 1)),
    "offset-shared": lambda: _tensor(lambda t, m: setattr(t, "offset", m.tensors[2].offset)),
    "alignment-0": lambda: _values(general__alignment=_u32(0)),
    "alignment-7": lambda: _values(general__alignment=_u32(7)),
    "alignment-huge": lambda: _values(general__alignment=_u32(1 << 31)),
    "alignment-text": lambda: _values(general__alignment=Value(STRING, "32")),
    "arch-missing": lambda: _values(general__architecture=None),
    "arch-number": lambda: _values(general__architecture=_u32(1)),
    "arch-unknown": lambda: _values(general__architecture=Value(STRING, "nobody")),
    "arch-empty": lambda: _values(general__architecture=Value(STRING, "")),
    "layers-0": lambda: _values(llama__block_count=_u32(0)),
    "layers-huge": lambda: _values(llama__block_count=_u32(0xFFFFFFFF)),
    "layers-text": lambda: _values(llama__block_count=Value(STRING, "2")),
    "layers-missing": lambda: _values(llama__block_count=None),
    "heads-0": lambda: _values(llama__attention__head_count=_u32(0),
                               llama__attention__key_length=None),
    "embd-huge": lambda: _values(llama__embedding_length=_u32(0xFFFFFFFF)),
    "u64-values": lambda: _values(llama__block_count=Value(U64, 2),
                                  llama__context_length=Value(U64, 131072)),
    "ctx-0": lambda: _values(llama__context_length=_u32(0)),
    "ctx-huge": lambda: _values(llama__context_length=_u32(0xFFFFFFFF)),
    "kv-heads-short": lambda: _values(
        llama__attention__head_count_kv=Value(ARRAY, [1], I32)),
    "tokens-missing": lambda: _values(tokenizer__ggml__tokens=None, llama__vocab_size=None),
    "split-first": lambda: _split(0),
    "split-later": lambda: _split(1),
    "split-wrong": lambda: _split(7),
}
# Unusual, but sound: a reader should take these.
ODD = {
    "version-2": lambda: _counts(version=struct.pack("<I", 2)),
    "alignment-64": lambda: _aligned(64),
    "kv-heads-array": lambda: _values(
        llama__attention__head_count_kv=Value(ARRAY, [1, 1], I32)),
    "long-key": lambda: Pieces().more(U32, bytes(4), name="general." + "x" * 5000),
}


def _aligned(step):
    """A file with another alignment: its tensors and its data part follow it."""
    model = _small()
    model.kv["general.alignment"] = _u32(step)
    out = Pieces(model)
    end = 0
    for i, tensor in enumerate(model.tensors):
        tensor.offset = end
        out.tensors[i] = pack_tensor(tensor)
        end += -(-tensor.size // step) * step
    head = out.join(data=False)
    return head + bytes(-len(head) % step) + bytes(end)


KINDS = {**{f"broken-{name}": make for name, make in BROKEN.items()},
         **{f"odd-{name}": make for name, make in ODD.items()}}
