#!/usr/bin/python3
"""GGUF files for tests: tiny models that a real server loads, big ones that are only a header
and a hole, and broken ones.

    gguf.py make KIND PATH [--layers N] [--embd N] [--type Q8_0] ...
    gguf.py show PATH
    gguf.py kinds

KIND is an architecture (a tiny model with random weights), the name of a big model (a sparse
file with that model's real dimensions), or broken-SOMETHING. Standard library only.
"""

import argparse
import dataclasses
import json
import random
import struct
import sys
from pathlib import Path

MAGIC = b"GGUF"
ALIGNMENT = 32
TOKENIZER_FROM = Path(__file__).resolve().parents[2] / "models" / "demo-chat.gguf"

# Types of values. Arrays and texts have a length of their own.
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
SCALARS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?",
           U64: "Q", I64: "q", F64: "d"}

# Types of tensors: number, elements of a block, bytes of a block.
TENSOR_TYPES = {
    "F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20),
    "Q5_0": (6, 32, 22), "Q5_1": (7, 32, 24), "Q8_0": (8, 32, 34), "Q8_1": (9, 32, 36),
    "Q2_K": (10, 256, 84), "Q3_K": (11, 256, 110), "Q4_K": (12, 256, 144),
    "Q5_K": (13, 256, 176), "Q6_K": (14, 256, 210), "Q8_K": (15, 256, 292),
    "IQ2_XXS": (16, 256, 66), "IQ2_XS": (17, 256, 74), "IQ3_XXS": (18, 256, 98),
    "IQ1_S": (19, 256, 50), "IQ4_NL": (20, 32, 18), "IQ3_S": (21, 256, 110),
    "IQ2_S": (22, 256, 82), "IQ4_XS": (23, 256, 136), "I8": (24, 1, 1), "I16": (25, 1, 2),
    "I32": (26, 1, 4), "I64": (27, 1, 8), "F64": (28, 1, 8), "IQ1_M": (29, 256, 56),
    "BF16": (30, 1, 2), "TQ1_0": (34, 256, 54), "TQ2_0": (35, 256, 66),
    "MXFP4": (39, 32, 17), "NVFP4": (40, 64, 36),
}
TYPE_NAMES = {number: name for name, (number, _, _) in TENSOR_TYPES.items()}


class Bad(Exception):
    """The file is not what it says."""


@dataclasses.dataclass
class Value:
    """A value of the metadata; of arrays, `sub` is the type of the elements."""
    type: int
    value: object
    sub: int = 0


@dataclasses.dataclass
class Tensor:
    name: str
    dims: tuple
    type: str
    fill: str = "random"
    offset: int = 0

    @property
    def size(self):
        _, block, size = TENSOR_TYPES[self.type]
        count = 1
        for dim in self.dims:
            count *= dim
        return count // block * size


@dataclasses.dataclass
class File:
    version: int
    kv: dict
    tensors: list
    data_offset: int
    size: int

    def get(self, name, default=None):
        return self.kv[name].value if name in self.kv else default

    def own(self, name, default=None):
        """A value below the name of the architecture."""
        return self.get(f"{self.get('general.architecture')}.{name}", default)

    @property
    def tensor_bytes(self):
        return sum(tensor.size for tensor in self.tensors)

    @property
    def expert_bytes(self):
        return sum(t.size for t in self.tensors if "_exps" in t.name)


# Reading

class _Cursor:
    def __init__(self, stream, size):
        self.stream = stream
        self.size = size

    def take(self, count):
        if count > self.size - self.stream.tell():
            raise Bad("ends too early")
        return self.stream.read(count)

    def one(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def text(self):
        return self.take(self.one("Q")).decode("utf-8", "surrogateescape")

    def value(self):
        kind = self.one("I")
        if kind == STRING:
            return Value(kind, self.text())
        if kind != ARRAY:
            return Value(kind, self.one(self.form(kind)))
        sub, count = self.one("I"), self.one("Q")
        if sub == STRING:
            if count > self.size // 8:
                raise Bad("an array longer than the file")
            return Value(kind, [self.text() for _ in range(count)], sub)
        form = self.form(sub)
        data = self.take(count * struct.calcsize("<" + form))
        return Value(kind, list(struct.unpack(f"<{count}{form}", data)), sub)

    @staticmethod
    def form(kind):
        if kind not in SCALARS:
            raise Bad(f"unknown type {kind} of a value")
        return SCALARS[kind]


def read(path):
    """The header of a sound file; raises Bad for others."""
    with open(path, "rb") as stream:
        size = Path(path).stat().st_size
        cur = _Cursor(stream, size)
        if cur.take(4) != MAGIC:
            raise Bad("not a GGUF file")
        version = cur.one("I")
        if version not in (2, 3):
            raise Bad(f"version {version}")
        n_tensors, n_kv = cur.one("Q"), cur.one("Q")
        kv = {}
        for _ in range(n_kv):
            name = cur.text()
            kv[name] = cur.value()
        tensors = [_read_tensor(cur) for _ in range(n_tensors)]
        align = kv["general.alignment"].value if "general.alignment" in kv else ALIGNMENT
        return File(version, kv, tensors, -(-stream.tell() // align) * align, size)


def _read_tensor(cur):
    name = cur.text()
    dims = tuple(cur.one("Q") for _ in range(cur.one("I")))
    kind = cur.one("I")
    if kind not in TYPE_NAMES:
        raise Bad(f"unknown type {kind} of a tensor")
    return Tensor(name, dims, TYPE_NAMES[kind], "", cur.one("Q"))


# Writing

def text_bytes(value):
    data = value.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(data)) + data


def pack_value(value):
    out = struct.pack("<I", value.type)
    if value.type == STRING:
        return out + text_bytes(value.value)
    if value.type != ARRAY:
        return out + struct.pack("<" + SCALARS[value.type], value.value)
    out += struct.pack("<IQ", value.sub, len(value.value))
    if value.sub == STRING:
        return out + b"".join(text_bytes(item) for item in value.value)
    return out + struct.pack(f"<{len(value.value)}{SCALARS[value.sub]}", *value.value)


def pack_tensor(tensor):
    return (text_bytes(tensor.name) + struct.pack("<I", len(tensor.dims))
            + struct.pack(f"<{len(tensor.dims)}Q", *tensor.dims)
            + struct.pack("<IQ", TENSOR_TYPES[tensor.type][0], tensor.offset))


def place(tensors):
    """Gives the tensors their offsets; returns the bytes of the data part."""
    end = 0
    for tensor in tensors:
        tensor.offset = end
        end += -(-tensor.size // ALIGNMENT) * ALIGNMENT
    return end


def header(kv, tensors, version=3):
    out = MAGIC + struct.pack("<IQQ", version, len(tensors), len(kv))
    out += b"".join(text_bytes(name) + pack_value(value) for name, value in kv.items())
    out += b"".join(pack_tensor(tensor) for tensor in tensors)
    return out + bytes(-len(out) % ALIGNMENT)


# The high byte of a float becomes small numbers of both signs; all other bits stay random.
_F32_HIGH = bytes((b & 0x80) | 0x3C for b in range(256))
_F16_HIGH = bytes((b & 0x80) | 0x28 | (b & 3) for b in range(256))
# Where the scales of a block are, and a value for them that keeps the weights small.
_SCALES = {"Q4_0": {0: b"\x00\x20"}, "Q8_0": {0: b"\x00\x0c"}, "MXFP4": {0: b"\x78"},
           "Q4_K": {0: b"\x00\x0c\x00\x0c"}, "Q6_K": {208: b"\x00\x02"}}


def weights(tensor, rng):
    """The bytes of a tensor: small random numbers, or one number throughout."""
    if tensor.fill != "random":
        if tensor.type != "F32":
            raise ValueError(f"{tensor.name}: constants are F32")
        return struct.pack("<f", float(tensor.fill)) * (tensor.size // 4)
    data = bytearray(rng.randbytes(tensor.size))
    if tensor.type == "F32":
        data[3::4] = data[3::4].translate(_F32_HIGH)
    elif tensor.type == "BF16":
        data[1::2] = data[1::2].translate(_F32_HIGH)
    elif tensor.type == "F16":
        data[1::2] = data[1::2].translate(_F16_HIGH)
    else:
        step = TENSOR_TYPES[tensor.type][2]
        for start, scale in _SCALES[tensor.type].items():
            for i, byte in enumerate(scale):
                data[start + i::step] = bytes([byte]) * (len(data) // step)
    return bytes(data)


def write(path, kv, tensors, sparse=False, seed=1):
    """Writes a sound file. A sparse one has a hole in place of its weights."""
    size = place(tensors)
    rng = random.Random(seed)
    with open(path, "wb") as out:
        out.write(header(kv, tensors))
        if sparse:
            out.truncate(out.tell() + size)
            return
        for tensor in tensors:
            data = weights(tensor, rng)
            out.write(data + bytes(-len(data) % ALIGNMENT))


# Models

@dataclasses.dataclass
class Shape:
    """The dimensions of a model; 0 means that it has no such part."""
    arch: str
    layers: int = 4
    embd: int = 256
    heads: int = 8
    kv_heads: int = 2
    head_dim: int = 32
    ff: int = 512
    experts: int = 0
    experts_used: int = 2
    expert_ff: int = 128
    shared_ff: int = 0
    dense_lead: int = 0
    vocab: int = 0
    ctx: int = 131072
    window: int = 0
    tied: bool = False
    type: str = "F16"
    expert_type: str = ""
    embd_type: str = ""
    # Recurrent layers
    conv: int = 4
    inner: int = 0
    state: int = 0
    dt_rank: int = 0
    groups: int = 0
    interval: int = 4
    # Latent attention
    q_lora: int = 0
    kv_lora: int = 0
    rope: int = 0
    nope: int = 0
    v_dim: int = 0
    nextn: int = 0


TOYS = {
    "llama": Shape("llama"),
    "qwen2": Shape("qwen2"),
    "qwen3": Shape("qwen3", head_dim=64),
    "qwen3moe": Shape("qwen3moe", experts=8, head_dim=64),
    "gemma3": Shape("gemma3", layers=12, window=512, tied=True, kv_heads=4),
    "gpt-oss": Shape("gpt-oss", experts=8, window=128, head_dim=64),
    "mamba": Shape("mamba", inner=512, state=16, dt_rank=16, tied=True),
    "qwen35": Shape("qwen35", layers=8, head_dim=64, inner=512, state=64, dt_rank=8, groups=4),
    "qwen35moe": Shape("qwen35moe", layers=8, head_dim=64, inner=512, state=64, dt_rank=8,
                       groups=4, experts=8, shared_ff=128),
    "deepseek2": Shape("deepseek2", experts=8, shared_ff=128, dense_lead=1, q_lora=128,
                       kv_lora=128, rope=32, nope=32, v_dim=32),
}

BIG = {
    "llama-3.1-8b": Shape("llama", 32, 4096, 32, 8, 128, 14336, vocab=128256, type="Q4_K"),
    "qwen3-30b-a3b": Shape("qwen3moe", 48, 2048, 32, 4, 128, 6144, 128, 8, 768, vocab=151936,
                           ctx=262144, type="Q4_K"),
    "gemma-3-27b": Shape("gemma3", 62, 5376, 32, 16, 128, 21504, vocab=262208, window=1024,
                         tied=True, type="Q4_K"),
    "gpt-oss-20b": Shape("gpt-oss", 24, 2880, 64, 8, 64, 2880, 32, 4, 2880, vocab=201088,
                         window=128, type="Q8_0", expert_type="MXFP4"),
    "qwen3.5-35b-a3b": Shape("qwen35moe", 40, 2048, 16, 2, 256, 0, 256, 8, 512, shared_ff=512,
                             vocab=248320, ctx=262144, type="Q4_K", inner=4096, state=128,
                             dt_rank=32, groups=16),
    "deepseek-v3": Shape("deepseek2", 61, 7168, 128, 1, 128, 18432, 256, 8, 2048, 2048, 3,
                         vocab=129280, ctx=163840, type="Q4_K", q_lora=1536, kv_lora=512,
                         rope=64, nope=128, v_dim=128),
}


class Builder:
    """Metadata and tensors of one model."""

    def __init__(self, shape):
        self.shape = shape
        self.kv = {}
        self.tensors = []
        self.layer = -1

    def put(self, name, kind, value, sub=0):
        self.kv[name] = Value(kind, value, sub)

    def own(self, name, value, kind=None):
        if kind is None:
            kind = F32 if isinstance(value, float) else U32
        self.put(f"{self.shape.arch}.{name}", kind, value)

    def add(self, name, *dims, kind=None, fill="random"):
        """A tensor; a name that starts with a dot belongs to the current layer."""
        if name.startswith("."):
            name = f"blk.{self.layer}{name}"
        block = TENSOR_TYPES[kind or self.shape.type][1]
        # As converters do: rows that the blocks do not divide stay in a type without blocks.
        kind = (kind or self.shape.type) if dims[0] % block == 0 else "F16"
        self.tensors.append(Tensor(name, tuple(dims), kind, fill))

    def norm(self, name, width):
        self.add(name + ".weight", width, kind="F32", fill="1")

    def small(self, name, *dims, fill="random"):
        self.add(name, *dims, kind="F32", fill=fill)

    def tokenizer(self, source):
        tokens = source.get("tokenizer.ggml.tokens")
        want = self.shape.vocab or len(tokens)
        more = want - len(tokens)
        for name, value in source.kv.items():
            if name.startswith("tokenizer."):
                self.kv[name] = value
        filler = [(ARRAY, STRING, "tokens", [f"<extra{i}>" for i in range(more)]),
                  (ARRAY, F32, "scores", [0.0] * more), (ARRAY, I32, "token_type", [1] * more)]
        for kind, sub, name, extra in filler:
            key = f"tokenizer.ggml.{name}"
            self.put(key, kind, (source.get(key) + extra)[:want], sub)
        self.shape.vocab = want
        self.own("vocab_size", want)

    def metadata(self, source):
        s = self.shape
        self.put("general.architecture", STRING, s.arch)
        self.put("general.name", STRING, f"test-{s.arch}")
        self.own("context_length", s.ctx)
        self.own("embedding_length", s.embd)
        self.own("block_count", s.layers + s.nextn)
        self.own("feed_forward_length", s.ff)
        self.own("attention.head_count", s.heads)
        self.own("attention.head_count_kv", s.kv_heads)
        self.own("attention.layer_norm_rms_epsilon", 1e-5)
        if s.arch not in ("mamba", "deepseek2"):
            self.own("attention.key_length", s.head_dim)
            self.own("attention.value_length", s.head_dim)
            self.own("rope.dimension_count", s.head_dim)
            self.own("rope.freq_base", 500000.0)
        if s.window:
            self.own("attention.sliding_window", s.window)
        if s.experts:
            self.own("expert_count", s.experts)
            self.own("expert_used_count", s.experts_used)
            self.own("expert_feed_forward_length", s.expert_ff)
        if s.nextn:
            self.own("nextn_predict_layers", s.nextn)
        if s.inner:
            self.own("ssm.conv_kernel", s.conv)
            self.own("ssm.inner_size", s.inner)
            self.own("ssm.state_size", s.state)
            self.own("ssm.time_step_rank", s.dt_rank)
        self.tokenizer(source)

    def build(self, source):
        s = self.shape
        self.metadata(source)
        outer = s.embd_type or ("Q6_K" if s.type == "Q4_K" else s.type)
        self.add("token_embd.weight", s.embd, s.vocab, kind=outer)
        self.norm("output_norm", s.embd)
        if not s.tied:
            self.add("output.weight", s.embd, s.vocab, kind=outer)
        EXTRAS.get(s.arch, lambda b: None)(self)
        for self.layer in range(s.layers + s.nextn):
            LAYERS.get(s.arch, plain_layer)(self)
        return self


def attention(b, bias=False, q_factor=1):
    s = b.shape
    q, kv = s.heads * s.head_dim, s.kv_heads * s.head_dim
    for name, width in (("q", q * q_factor), ("k", kv), ("v", kv)):
        b.add(f".attn_{name}.weight", s.embd, width)
        if bias:
            b.small(f".attn_{name}.bias", width)
    b.add(".attn_output.weight", q, s.embd)


def head_norms(b):
    b.norm(".attn_q_norm", b.shape.head_dim)
    b.norm(".attn_k_norm", b.shape.head_dim)


def dense(b, width, suffix=""):
    s = b.shape
    b.add(f".ffn_gate{suffix}.weight", s.embd, width)
    b.add(f".ffn_up{suffix}.weight", s.embd, width)
    b.add(f".ffn_down{suffix}.weight", width, s.embd)


def experts(b):
    s = b.shape
    kind = s.expert_type or s.type
    b.small(".ffn_gate_inp.weight", s.embd, s.experts)
    b.add(".ffn_gate_exps.weight", s.embd, s.expert_ff, s.experts, kind=kind)
    b.add(".ffn_up_exps.weight", s.embd, s.expert_ff, s.experts, kind=kind)
    b.add(".ffn_down_exps.weight", s.expert_ff, s.embd, s.experts, kind=kind)


def plain_layer(b):
    """llama, qwen2, qwen3 and qwen3moe."""
    s = b.shape
    b.norm(".attn_norm", s.embd)
    attention(b, bias=s.arch == "qwen2")
    if s.arch.startswith("qwen3"):
        head_norms(b)
    b.norm(".ffn_norm", s.embd)
    if s.experts:
        experts(b)
    else:
        dense(b, s.ff)


def gemma3_layer(b):
    s = b.shape
    b.norm(".attn_norm", s.embd)
    attention(b)
    head_norms(b)
    b.norm(".post_attention_norm", s.embd)
    b.norm(".ffn_norm", s.embd)
    dense(b, s.ff)
    b.norm(".post_ffw_norm", s.embd)


def gpt_oss_layer(b):
    s = b.shape
    b.norm(".attn_norm", s.embd)
    b.norm(".post_attention_norm", s.embd)
    attention(b, bias=True)
    b.small(".attn_output.bias", s.embd)
    b.small(".attn_sinks.weight", s.heads)
    experts(b)
    b.small(".ffn_gate_inp.bias", s.experts)
    for name, width in (("gate", s.expert_ff), ("up", s.expert_ff), ("down", s.embd)):
        b.small(f".ffn_{name}_exps.bias", width, s.experts)


def mamba_layer(b):
    s = b.shape
    b.norm(".attn_norm", s.embd)
    b.add(".ssm_in.weight", s.embd, 2 * s.inner)
    b.small(".ssm_conv1d.weight", s.conv, s.inner)
    b.small(".ssm_conv1d.bias", s.inner)
    b.add(".ssm_x.weight", s.inner, s.dt_rank + 2 * s.state)
    b.add(".ssm_dt.weight", s.dt_rank, s.inner, kind="F32")
    b.small(".ssm_dt.bias", s.inner)
    b.small(".ssm_a", s.state, s.inner, fill="-1")
    b.small(".ssm_d", s.inner, fill="1")
    b.add(".ssm_out.weight", s.inner, s.embd)


def qwen35_extras(b):
    b.own("ssm.group_count", b.shape.groups)
    b.own("full_attention_interval", b.shape.interval)
    quarter = b.shape.head_dim // 4
    b.own("rope.dimension_count", quarter)
    b.put(f"{b.shape.arch}.rope.dimension_sections", ARRAY,
          [quarter // 2 - 2 * (quarter // 6), quarter // 6, quarter // 6, 0], I32)
    if b.shape.shared_ff:
        b.own("expert_shared_feed_forward_length", b.shape.shared_ff)


def qwen35_layer(b):
    s = b.shape
    b.norm(".attn_norm", s.embd)
    b.norm(".post_attention_norm", s.embd)
    if b.layer >= s.layers or (b.layer + 1) % s.interval == 0:
        attention(b, q_factor=2)
        head_norms(b)
    else:
        wide = 2 * s.state * s.groups + s.state * s.dt_rank
        b.add(".attn_qkv.weight", s.embd, wide)
        b.add(".attn_gate.weight", s.embd, s.state * s.dt_rank)
        b.small(".ssm_conv1d.weight", s.conv, wide)
        b.small(".ssm_dt.bias", s.dt_rank)
        b.small(".ssm_a", s.dt_rank, fill="-1")
        b.add(".ssm_beta.weight", s.embd, s.dt_rank)
        b.add(".ssm_alpha.weight", s.embd, s.dt_rank)
        b.norm(".ssm_norm", s.state)
        b.add(".ssm_out.weight", s.state * s.dt_rank, s.embd)
    if s.experts:
        experts(b)
        b.small(".ffn_gate_inp_shexp.weight", s.embd)
        dense(b, s.shared_ff, "_shexp")
    else:
        dense(b, s.ff)
    if b.layer >= s.layers:
        b.add(".nextn.eh_proj.weight", 2 * s.embd, s.embd)
        b.norm(".nextn.enorm", s.embd)
        b.norm(".nextn.hnorm", s.embd)


def deepseek2_extras(b):
    s = b.shape
    b.own("attention.head_count_kv", 1)
    b.own("attention.q_lora_rank", s.q_lora)
    b.own("attention.kv_lora_rank", s.kv_lora)
    b.own("attention.key_length", s.kv_lora + s.rope)
    b.own("attention.value_length", s.kv_lora)
    b.own("attention.key_length_mla", s.nope + s.rope)
    b.own("attention.value_length_mla", s.v_dim)
    b.own("rope.dimension_count", s.rope)
    b.own("leading_dense_block_count", s.dense_lead)
    b.own("expert_shared_count", s.shared_ff // s.expert_ff)
    b.own("expert_weights_scale", 1.0)
    b.own("expert_weights_norm", True, BOOL)
    b.own("expert_gating_func", 2)


def deepseek2_layer(b):
    s = b.shape
    b.norm(".attn_norm", s.embd)
    b.norm(".attn_q_a_norm", s.q_lora)
    b.norm(".attn_kv_a_norm", s.kv_lora)
    b.add(".attn_q_a.weight", s.embd, s.q_lora)
    b.add(".attn_q_b.weight", s.q_lora, s.heads * (s.nope + s.rope))
    b.add(".attn_kv_a_mqa.weight", s.embd, s.kv_lora + s.rope)
    b.add(".attn_k_b.weight", s.nope, s.kv_lora, s.heads)
    b.add(".attn_v_b.weight", s.kv_lora, s.v_dim, s.heads)
    b.add(".attn_output.weight", s.heads * s.v_dim, s.embd)
    b.norm(".ffn_norm", s.embd)
    if b.layer < s.dense_lead:
        dense(b, s.ff)
    else:
        experts(b)
        b.small(".exp_probs_b.bias", s.experts)
        dense(b, s.shared_ff, "_shexp")


EXTRAS = {"qwen35": qwen35_extras, "qwen35moe": qwen35_extras, "deepseek2": deepseek2_extras}
LAYERS = {"gemma3": gemma3_layer, "gpt-oss": gpt_oss_layer, "mamba": mamba_layer,
          "qwen35": qwen35_layer, "qwen35moe": qwen35_layer, "deepseek2": deepseek2_layer}


def make_model(path, kind, sparse=None, **changes):
    """A toy with weights, or a big model as a sparse file; `changes` are fields of Shape."""
    shape = dataclasses.replace(TOYS.get(kind) or BIG[kind], **changes)
    model = Builder(shape).build(read(TOKENIZER_FROM))
    write(path, model.kv, model.tensors, kind in BIG if sparse is None else sparse)
    return Path(path)



def make(kind, path, **changes):
    """Writes the file of that kind; returns its path."""
    if kind in TOYS or kind in BIG:
        return make_model(path, kind, **changes)
    Path(path).write_bytes(_broken()[kind]())
    return Path(path)


def _broken():
    from gguf_broken import KINDS  # imports this module in its turn
    return KINDS


def kinds():
    return [*TOYS, *BIG, *_broken()]


# Command line

def _show(path):
    file = read(path)
    short = {}
    for name, value in file.kv.items():
        long = isinstance(value.value, list) and len(value.value) > 100
        short[name] = f"[{len(value.value)} values]" if long else value.value
    print(json.dumps({"version": file.version, "size": file.size, "kv": short,
                      "data_offset": file.data_offset, "tensor_bytes": file.tensor_bytes,
                      "expert_bytes": file.expert_bytes,
                      "tensors": [[t.name, t.dims, t.type, t.offset] for t in file.tensors]}))


def _arguments():
    parser = argparse.ArgumentParser(description="Makes and shows GGUF files for tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make", help="write a file")
    maker.add_argument("kind", choices=kinds(), metavar="KIND")
    maker.add_argument("path")
    maker.add_argument("--sparse", action="store_true", default=None,
                       help="a hole in place of the weights")
    for field in dataclasses.fields(Shape)[1:]:
        flag = "--" + field.name.replace("_", "-")
        if field.type is bool:
            maker.add_argument(flag, action="store_true", default=None)
        else:
            maker.add_argument(flag, type=field.type)
    commands.add_parser("show", help="print a header as JSON").add_argument("path")
    commands.add_parser("kinds", help="list the kinds")
    return parser.parse_args()


def main():
    args = vars(_arguments())
    command = args.pop("command")
    if command == "kinds":
        print("\n".join(kinds()))
    elif command == "show":
        _show(args["path"])
    else:
        make(**{name: value for name, value in args.items() if value is not None})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Bad, OSError) as error:
        sys.exit(f"gguf.py: {error}")
