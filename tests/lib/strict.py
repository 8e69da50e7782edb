"""A request held against the public rules of the protocol that it is in.

check() lists what the real API would answer 400 to; read() says what a request asks for in
words that do not depend on the protocol, so that what a caller sent and what an upstream got
can be compared. The stand-in signs its thinking as the real one does: with a key that a gateway
does not have.
"""

import base64
import hashlib
import hmac
import json
import re

import cloud_rules as rules

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
TOOL_ID = re.compile(r"[A-Za-z0-9_-]+\Z")
DATA_URL = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,([A-Za-z0-9+/=]+)\Z")
EFFORTS = {"none", "minimal", "low", "medium", "high", "xhigh"}
BILLING = "x-anthropic-billing-header:"


def sign(thinking):
    """The signature of a thinking block of the stand-in."""
    digest = hmac.new(b"stand-in", thinking.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


class Wrong(list):
    """What is wrong with a request, gathered."""

    def unless(self, cond, text):
        if not cond:
            self.append(text)
        return cond

    def keys(self, value, allowed, where, required=()):
        if not isinstance(value, dict):
            self.append(f"{where}: is no object")
            return False
        for key in value:
            self.unless(key in allowed, f"{where}: Unknown parameter {key!r}")
        for key in required:
            self.unless(key in value, f"{where}: missing required {key!r}")
        return all(key in value for key in required)

    def number(self, body, key, low, high, whole=False):
        value = body.get(key)
        if value is None:
            return
        right = isinstance(value, (int,) if whole else (int, float))
        self.unless(right and not isinstance(value, bool) and low <= value <= high,
                    f"{key}: {value!r} is not between {low} and {high}")

    def text(self, value, where):
        return self.unless(isinstance(value, str), f"{where}: is no string: {value!r}")


def check(protocol, path, seen, body, model=None, allow=()):
    """Everything that is wrong with a request that arrived at an upstream of this protocol."""
    allow = set(allow)
    wrong = Wrong()
    if protocol == "messages":
        wrong += rules.check_anthropic(path, seen.headers, body, model, allow)
    else:
        wrong += rules.check_openai(path[len("/v1"):], body, model, allow)
    try:
        {"chat": _chat, "responses": _responses, "messages": _messages}[protocol](
            wrong, body, path)
    except (LookupError, TypeError, AttributeError, ValueError) as e:
        wrong.append(f"a shape that no reader expects: {e!r}")
    return wrong


def _closed(wrong, schema, where):
    """A strict schema: each object names all of its properties as required, and allows no
    others."""
    if isinstance(schema, list):
        for n, part in enumerate(schema):
            _closed(wrong, part, f"{where}[{n}]")
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" or "properties" in schema:
        wrong.unless(schema.get("additionalProperties") is False,
                     f"{where}: 'additionalProperties' is required to be false")
        wrong.unless(set(schema.get("required", [])) == set(schema.get("properties", {})),
                     f"{where}: 'required' must name every property")
    for key, value in schema.items():
        if key == "properties" and isinstance(value, dict):
            for name, part in value.items():
                _closed(wrong, part, f"{where}.{name}")
        elif key in ("items", "anyOf", "allOf", "$defs"):
            _closed(wrong, list(value.values()) if key == "$defs" else value, f"{where}.{key}")


def _sampling(wrong, body, highest):
    wrong.number(body, "temperature", 0, highest)
    wrong.number(body, "top_p", 0, 1)
    wrong.number(body, "presence_penalty", -2, 2)
    wrong.number(body, "frequency_penalty", -2, 2)


def _image_url(wrong, url, where):
    if not wrong.text(url, where):
        return
    if url.startswith("data:"):
        wrong.unless(DATA_URL.match(url), f"{where}: no supported image: {url[:40]!r}")
    else:
        wrong.unless(url.startswith(("https://", "http://")), f"{where}: {url[:40]!r}")


def _function(wrong, tool, where, strict_fields=("name", "description", "parameters", "strict")):
    if wrong.keys(tool, strict_fields, where, ("name",)):
        wrong.unless(NAME.match(tool["name"]), f"{where}.name: {tool['name']!r}")
        schema = tool.get("parameters")
        if schema is not None:
            wrong.unless(isinstance(schema, dict) and schema.get("type") == "object",
                         f"{where}.parameters: type must be 'object'")
        if tool.get("strict"):
            _closed(wrong, schema, where)
        if "description" in tool and tool["description"] is not None:
            wrong.text(tool["description"], f"{where}.description")


def _unique(wrong, names, where):
    for name in set(names):
        wrong.unless(names.count(name) == 1, f"{where}: {name!r} {names.count(name)} times")


# chat

_CHAT_PARTS = {"user": {"text", "image_url", "input_audio", "file"}, "system": {"text"},
               "developer": {"text"}, "tool": {"text"}, "assistant": {"text", "refusal"}}


def _chat_part(wrong, part, role, where):
    kind = part.get("type")
    if not wrong.unless(kind in _CHAT_PARTS[role], f"{where}: {kind!r} in a {role} message"):
        return
    wrong.keys(part, {"type", kind}, where, (kind,))
    if kind == "text":
        wrong.text(part["text"], where)
    elif kind == "image_url":
        if wrong.keys(part["image_url"], {"url", "detail"}, where, ("url",)):
            _image_url(wrong, part["image_url"]["url"], where)
    elif kind == "file":
        wrong.keys(part["file"], {"filename", "file_data", "file_id"}, where)
        if "file_data" in part["file"]:
            wrong.unless(part["file"]["file_data"].startswith("data:"), f"{where}: file_data")


def _chat_message(wrong, message, where):
    role, content = message["role"], message.get("content")
    if isinstance(content, list):
        for n, part in enumerate(content):
            _chat_part(wrong, part, role, f"{where}.content[{n}]")
    else:
        wrong.unless(isinstance(content, str) or (content is None and role == "assistant"),
                     f"{where}.content: {content!r}")
    if "reasoning_content" in message:
        wrong.text(message["reasoning_content"], f"{where}.reasoning_content")
    if "tool_calls" in message:
        wrong.unless(message["tool_calls"], f"{where}.tool_calls: empty array")
        ids = []
        for n, call in enumerate(message["tool_calls"]):
            at = f"{where}.tool_calls[{n}]"
            if wrong.keys(call, {"id", "type", "function"}, at, ("id", "type", "function")):
                wrong.keys(call["function"], {"name", "arguments"}, at, ("name", "arguments"))
                wrong.unless(NAME.match(call["function"]["name"]), f"{at}: name")
                json.loads(call["function"]["arguments"])
                wrong.unless(0 < len(call["id"]) <= 40, f"{at}.id: longer than 40")
                ids.append(call["id"])
        _unique(wrong, ids, where)


def _chat(wrong, body, path):
    leading = True
    for n, message in enumerate(body["messages"]):
        _chat_message(wrong, message, f"messages[{n}]")
        if message["role"] not in ("system", "developer"):
            leading = False
        else:
            wrong.unless(leading, f"messages[{n}]: many templates refuse a late system message")
    _sampling(wrong, body, 2)
    wrong.number(body, "n", 1, 128, True)
    for key in ("max_tokens", "max_completion_tokens"):
        wrong.number(body, key, 1, 10**7, True)
    stop = body.get("stop")
    wrong.unless(stop is None or isinstance(stop, str)
                 or (isinstance(stop, list) and 1 <= len(stop) <= 4
                     and all(isinstance(s, str) for s in stop)), f"stop: {stop!r}")
    wrong.unless(body.get("reasoning_effort", "low") in EFFORTS,
                 f"reasoning_effort: {body.get('reasoning_effort')!r}")
    names = []
    if "tools" in body:
        wrong.unless(body["tools"], "tools: [] is too short")
    for n, tool in enumerate(body.get("tools") or []):
        if wrong.keys(tool, {"type", "function"}, f"tools[{n}]", ("type", "function")):
            wrong.unless(tool["type"] == "function", f"tools[{n}].type: {tool['type']!r}")
            _function(wrong, tool["function"], f"tools[{n}].function")
            names.append(tool["function"]["name"])
    _unique(wrong, names, "tools")
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, dict):
        wrong.keys(choice, {"type", "function"}, "tool_choice", ("type", "function"))
        wrong.unless(choice["function"]["name"] in names, f"tool_choice: {choice}")
    else:
        wrong.unless(choice in ("auto", "none", "required"), f"tool_choice: {choice!r}")
    _chat_format(wrong, body.get("response_format"))
    if "stream_options" in body:
        wrong.keys(body["stream_options"], {"include_usage", "include_obfuscation"},
                   "stream_options")


def _chat_format(wrong, form):
    if form is None:
        return
    wrong.unless(form.get("type") in ("text", "json_object", "json_schema"),
                 f"response_format: {form}")
    if form.get("type") == "json_schema":
        wrong.keys(form, {"type", "json_schema"}, "response_format", ("json_schema",))
        _named_schema(wrong, form["json_schema"], "response_format.json_schema")
    else:
        wrong.keys(form, {"type"}, "response_format")


def _named_schema(wrong, form, where, more=()):
    wrong.keys(form, {"name", "description", "schema", "strict", *more}, where, ("name",))
    wrong.unless(NAME.match(form.get("name", "")), f"{where}.name: {form.get('name')!r}")
    if form.get("strict"):
        _closed(wrong, form["schema"], f"{where}.schema")


# responses

_ITEMS = {
    "message": ({"type", "role", "content", "id", "status", "phase",
                 "internal_chat_message_metadata_passthrough"}, ("role", "content")),
    "function_call": ({"type", "id", "call_id", "name", "arguments", "status", "namespace"},
                      ("call_id", "name", "arguments")),
    "function_call_output": ({"type", "id", "call_id", "output", "status"},
                             ("call_id", "output")),
    "custom_tool_call": ({"type", "id", "call_id", "name", "input", "status", "namespace"},
                         ("call_id", "name", "input")),
    "custom_tool_call_output": ({"type", "id", "call_id", "output"}, ("call_id", "output")),
    "reasoning": ({"type", "id", "summary", "content", "encrypted_content", "status"},
                  ("summary",))}
_INPUT_PARTS = {
    "input_text": ({"type", "text"}, ("text",)),
    "input_image": ({"type", "image_url", "file_id", "detail"}, ()),
    "input_file": ({"type", "filename", "file_data", "file_url", "file_id"}, ()),
    "output_text": ({"type", "text", "annotations", "logprobs"}, ("text",)),
    "refusal": ({"type", "refusal"}, ("refusal",)),
    "summary_text": ({"type", "text"}, ("text",)),
    "reasoning_text": ({"type", "text"}, ("text",))}


def _response_parts(wrong, content, kinds, where):
    if isinstance(content, str):
        return
    if not wrong.unless(isinstance(content, list), f"{where}: {content!r}"):
        return
    for n, part in enumerate(content):
        at, kind = f"{where}[{n}]", part.get("type")
        if not wrong.unless(kind in kinds, f"{at}: Invalid value {kind!r}, not of {kinds}"):
            continue
        allowed, required = _INPUT_PARTS[kind]
        wrong.keys(part, allowed, at, required)
        if kind == "input_image" and "image_url" in part:
            _image_url(wrong, part["image_url"], at)
        if kind == "input_file" and "file_data" in part:
            wrong.unless(part["file_data"].startswith("data:"), f"{at}.file_data")
        if "text" in part:
            wrong.text(part["text"], at)


def _response_item(wrong, item, open_calls, where):
    kind = item.get("type", "message")
    if not wrong.unless(kind in _ITEMS, f"{where}: Invalid value {kind!r}"):
        return
    allowed, required = _ITEMS[kind]
    if not wrong.keys(item, allowed, where, required):
        return
    if kind == "message":
        role = item["role"]
        wrong.unless(role in ("user", "assistant", "system", "developer"), f"{where}: {role}")
        kinds = (("output_text", "refusal") if role == "assistant" else
                 ("input_text", "input_image", "input_file"))
        _response_parts(wrong, item["content"], kinds, f"{where}.content")
    elif kind.endswith("_output"):
        call = item["call_id"]
        if wrong.unless(call in open_calls, f"{where}: No tool call found for {call!r}"):
            open_calls.remove(call)
        _response_parts(wrong, item["output"], ("input_text", "input_image", "input_file"),
                        f"{where}.output")
    elif kind == "reasoning":
        _response_parts(wrong, item["summary"], ("summary_text",), f"{where}.summary")
        _response_parts(wrong, item.get("content") or [], ("reasoning_text",),
                        f"{where}.content")
        wrong.unless(isinstance(item.get("encrypted_content"), (str, type(None))), where)
    else:
        wrong.unless(item["call_id"] not in open_calls, f"{where}: call_id twice")
        wrong.unless(len(item["call_id"]) <= 64, f"{where}.call_id: longer than 64")
        wrong.unless(NAME.match(item["name"]), f"{where}.name: {item['name']!r}")
        open_calls.append(item["call_id"])
        if kind == "function_call":
            wrong.text(item["arguments"], where)
        wrong.unless(str(item.get("id", "fc_")).startswith(("fc_", "ctc_")), f"{where}.id")


def _responses(wrong, body, path):
    if isinstance(body["input"], list):
        open_calls = []
        for n, item in enumerate(body["input"]):
            _response_item(wrong, item, open_calls, f"input[{n}]")
        wrong.unless(not open_calls, f"No tool output found for {open_calls}")
    else:
        wrong.text(body["input"], "input")
    if body.get("instructions") is not None:
        wrong.text(body["instructions"], "instructions")
    _sampling(wrong, body, 2)
    wrong.number(body, "max_output_tokens", 16, 10**7, True)
    names = []
    for n, tool in enumerate(body.get("tools") or []):
        if tool.get("type") == "function":
            fields = ("type", "name", "description", "parameters", "strict")
            _function(wrong, tool, f"tools[{n}]", fields)
            wrong.unless("parameters" in tool, f"tools[{n}]: missing required 'parameters'")
            names.append(tool["name"])
        else:
            wrong.unless(tool.get("type") in ("namespace", "custom", "web_search"),
                         f"tools[{n}].type: {tool.get('type')!r}")
    _unique(wrong, names, "tools")
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, dict):
        wrong.keys(choice, {"type", "name"}, "tool_choice", ("type", "name"))
        wrong.unless(choice["name"] in names, f"tool_choice: {choice}")
    else:
        wrong.unless(choice in ("auto", "none", "required"), f"tool_choice: {choice!r}")
    wrong.unless(choice in ("auto", "none") or body.get("tools"), "tool_choice without tools")
    reasoning = body.get("reasoning") or {}
    wrong.keys(reasoning, {"effort", "summary", "context"}, "reasoning")
    wrong.unless(reasoning.get("effort") in EFFORTS | {None}, f"reasoning: {reasoning}")
    text = body.get("text") or {}
    wrong.keys(text, {"format", "verbosity"}, "text")
    form = text.get("format") or {"type": "text"}
    if form["type"] == "json_schema":
        _named_schema(wrong, form, "text.format", ("type",))
        wrong.unless("schema" in form, "text.format: missing required 'schema'")
    else:
        wrong.unless(form["type"] in ("text", "json_object"), f"text.format: {form}")


# messages

_BLOCKS = {
    "text": ({"type", "text", "cache_control", "citations"}, ("text",)),
    "image": ({"type", "source", "cache_control"}, ("source",)),
    "document": ({"type", "source", "title", "context", "citations", "cache_control"},
                 ("source",)),
    "thinking": ({"type", "thinking", "signature"}, ("thinking", "signature")),
    "redacted_thinking": ({"type", "data"}, ("data",)),
    "tool_use": ({"type", "id", "name", "input", "cache_control", "caller"},
                 ("id", "name", "input")),
    "tool_result": ({"type", "tool_use_id", "content", "is_error", "cache_control"},
                    ("tool_use_id",))}
_ROLES = {"user": {"text", "image", "document", "tool_result"},
          "assistant": {"text", "thinking", "redacted_thinking", "tool_use"},
          "system": {"text"}, "tool_result": {"text", "image", "document"}}
_SOURCES = {"base64": {"type", "media_type", "data"}, "url": {"type", "url"},
            "text": {"type", "media_type", "data"}, "content": {"type", "content"}}


def _source(wrong, block, where):
    source = block["source"]
    kind = source.get("type")
    if not wrong.unless(kind in _SOURCES, f"{where}.source.type: {kind!r}"):
        return
    wrong.keys(source, _SOURCES[kind], f"{where}.source", _SOURCES[kind])
    if kind == "base64":
        base64.b64decode(source["data"], validate=True)
        types = (("image/png", "image/jpeg", "image/gif", "image/webp")
                 if block["type"] == "image" else ("application/pdf",))
        wrong.unless(source["media_type"] in types, f"{where}: {source['media_type']!r}")
    if kind == "url":
        wrong.unless(source["url"].startswith("https://"), f"{where}: only HTTPS URLs")


def _block(wrong, block, role, where):
    kind = block.get("type")
    if not wrong.unless(kind in _ROLES[role], f"{where}: {kind!r} in {role}"):
        return
    allowed, required = _BLOCKS[kind]
    if not wrong.keys(block, allowed, where, required):
        return
    if kind == "text" and wrong.text(block["text"], where):
        wrong.unless(block["text"].strip() or role == "tool_result",
                     f"{where}: text content blocks must be non-empty")
    elif kind in ("image", "document"):
        _source(wrong, block, where)
    elif kind == "thinking":
        wrong.unless(block["signature"] == sign(block["thinking"]),
                     f"{where}: Invalid `signature` in `thinking` block")
    elif kind == "tool_use":
        wrong.unless(TOOL_ID.match(block["id"]), f"{where}.id: {block['id']!r}")
        wrong.unless(NAME.match(block["name"]), f"{where}.name: {block['name']!r}")
    elif kind == "tool_result" and isinstance(block.get("content"), list):
        for n, part in enumerate(block["content"]):
            _block(wrong, part, "tool_result", f"{where}.content.{n}")


def _message_order(wrong, messages):
    before, ids = None, []
    for n, message in enumerate(messages):
        role, content = message["role"], message["content"]
        where = f"messages.{n}"
        wrong.unless(role != before, f"{where}: roles must alternate")
        before = before if role == "system" else role
        if n == 0:
            wrong.unless(role == "user", f"{where}: first message must use the user role")
        if isinstance(content, str):
            wrong.unless(content.strip(), f"{where}: text content must be non-empty")
            continue
        kinds = [block.get("type") for block in content]
        for m, block in enumerate(content):
            _block(wrong, block, role, f"{where}.content.{m}")
        if "tool_result" in kinds:
            first = next((i for i, k in enumerate(kinds) if k != "tool_result"), len(kinds))
            wrong.unless("tool_result" not in kinds[first:],
                         f"{where}: tool_result blocks must come first")
        if role == "assistant" and kinds and n == len(messages) - 1:
            wrong.unless(kinds[-1] == "text" or "tool_use" in kinds, f"{where}: {kinds}")
            last = content[-1].get("text", "x")
            wrong.unless(last == last.rstrip(), f"{where}: must not end with whitespace")
        ids += [block["id"] for block in content if block.get("type") == "tool_use"]
    _unique(wrong, ids, "messages: `tool_use` ids must be unique")
    last = messages[-1]
    if last["role"] == "assistant" and isinstance(last["content"], list):
        wrong.unless("tool_use" not in [b.get("type") for b in last["content"]],
                     "tool_use without tool_result at the end")


def _thinking(wrong, body):
    thinking = body.get("thinking")
    if thinking is None:
        return
    kind = thinking.get("type")
    wrong.unless(kind in ("enabled", "disabled", "adaptive"), f"thinking.type: {kind!r}")
    if kind not in ("enabled", "adaptive"):
        return
    if kind == "enabled":
        wrong.keys(thinking, {"type", "budget_tokens", "display"}, "thinking",
                   ("budget_tokens",))
        budget = thinking.get("budget_tokens", 0)
        wrong.unless(budget >= 1024, "thinking.budget_tokens: at least 1024")
        wrong.unless(body.get("max_tokens", 0) > budget,
                     "`max_tokens` must be greater than `thinking.budget_tokens`")
    wrong.unless(body.get("temperature", 1) == 1, "temperature: only 1 when thinking is on")
    wrong.unless(body.get("top_p", 1) >= 0.95, "top_p: at least 0.95 when thinking is on")
    wrong.unless("top_k" not in body, "top_k: not with thinking")
    wrong.unless((body.get("tool_choice") or {}).get("type") not in ("any", "tool"),
                 "Thinking may not be enabled when tool_choice forces tool use")
    turns = [m for m in body["messages"] if m["role"] == "assistant"]
    blocks = turns[-1]["content"] if turns and isinstance(turns[-1]["content"], list) else []
    kinds = [b["type"] for b in blocks]
    wrong.unless("tool_use" not in kinds or kinds[0] in ("thinking", "redacted_thinking"),
                 "Expected `thinking`, but found another block in the final assistant turn")


def _messages(wrong, body, path):
    _message_order(wrong, body["messages"])
    system = body.get("system")
    for n, block in enumerate(system if isinstance(system, list) else []):
        _block(wrong, block, "system", f"system.{n}")
    wrong.unless(isinstance(system, (str, list, type(None))), f"system: {system!r}")
    _sampling(wrong, body, 1)
    wrong.number(body, "max_tokens", 1, 128000, True)
    wrong.number(body, "top_k", 0, 10**6, True)
    stops = body.get("stop_sequences", [])
    wrong.unless(isinstance(stops, list) and all(isinstance(s, str) and s.strip()
                                                 for s in stops),
                 f"stop_sequences: each must contain non-whitespace: {stops!r}")
    _thinking(wrong, body)
    names = []
    for n, tool in enumerate(body.get("tools") or []):
        if wrong.keys(tool, {"name", "description", "input_schema", "cache_control", "type",
                             "defer_loading", "eager_input_streaming", "strict"},
                      f"tools.{n}", ("name", "input_schema")):
            _function(wrong, {"name": tool["name"], "parameters": tool["input_schema"]},
                      f"tools.{n}")
            names.append(tool["name"])
    _unique(wrong, names, "tools")
    choice = body.get("tool_choice")
    if choice is not None:
        wrong.keys(choice, {"type", "name", "disable_parallel_tool_use"}, "tool_choice",
                   ("type",))
        wrong.unless(choice.get("type") in ("auto", "any", "tool", "none"), f"{choice}")
        wrong.unless(names or choice.get("type") == "none", "tool_choice without tools")
        if choice.get("type") == "tool":
            wrong.unless(choice.get("name") in names, f"tool_choice: {choice}")
        if choice.get("type") == "none":
            wrong.unless("disable_parallel_tool_use" not in choice, "tool_choice: none")
    calls = any(b.get("type") in ("tool_use", "tool_result") for m in body["messages"]
                if isinstance(m["content"], list) for b in m["content"])
    wrong.unless(names or not calls, "tools must be defined when tool_use is in messages")
    config = body.get("output_config") or {}
    wrong.keys(config, {"effort", "format"}, "output_config")
    wrong.unless(config.get("effort", "low") in ("low", "medium", "high", "max", "xhigh"),
                 f"output_config.effort: {config.get('effort')!r}")
    form = config.get("format")
    if form is not None:
        wrong.keys(form, {"type", "schema"}, "output_config.format", ("type", "schema"))
        wrong.unless(form.get("type") == "json_schema", f"output_config.format: {form}")
        _open_objects(wrong, form.get("schema"), "output_config.format.schema")
    wrong.keys(body.get("metadata") or {}, {"user_id"}, "metadata")


def _open_objects(wrong, schema, where):
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            wrong.unless(schema.get("additionalProperties") is False,
                         f"{where}: 'additionalProperties' must be explicitly false")
        for key, value in schema.items():
            _open_objects(wrong, value, f"{where}.{key}")
    elif isinstance(schema, list):
        for value in schema:
            _open_objects(wrong, value, where)


# what a request asks for, in words of no protocol

class Asked:
    """What a request asks for. turns: (kind, ...) in order, texts without their blanks, since
    where a paragraph ends is each protocol's own affair."""

    def __init__(self):
        self.system = ""
        self.turns = []
        self.tools = {}
        self.choice = None
        self.limit = None
        self.stops = []

    def add(self, kind, *what):
        if kind in ("user", "assistant", "thinking"):
            text = "".join(what[0].split())
            if not text:
                return
            if self.turns and self.turns[-1][0] == kind:
                text = self.turns.pop()[1] + text
            what = (text,)
        self.turns.append((kind, *what))

    def say_system(self, text):
        if not text.startswith(BILLING):
            self.system += "".join(text.split())

    def said(self, kind):
        return [turn[1:] if len(turn) > 2 else turn[1] for turn in self.turns
                if turn[0] == kind]


def read(protocol, body):
    asked = Asked()
    {"chat": _read_chat, "responses": _read_responses, "messages": _read_messages}[protocol](
        asked, body)
    return asked


def _texts(content, key="text"):
    if isinstance(content, str):
        return [content]
    return [part[key] for part in content or [] if key in part]


def _squeeze(content):
    return "".join("".join(_texts(content)).split())


def _read_chat(asked, body):
    for message in body["messages"]:
        role, content = message["role"], message.get("content")
        if role in ("system", "developer"):
            for text in _texts(content):
                asked.say_system(text)
            continue
        if role == "tool":
            asked.add("result", message["tool_call_id"], _squeeze(content))
            continue
        if message.get("reasoning_content"):
            asked.add("thinking", message["reasoning_content"])
        for part in [{"text": content}] if isinstance(content, str) else content or []:
            if "image_url" in part:
                asked.add("image", part["image_url"]["url"])
            elif "file" in part:
                asked.add("document", part["file"]["file_data"])
            else:
                asked.add(role, part.get("text", part.get("refusal", "")))
        for call in message.get("tool_calls") or []:
            asked.add("call", call["id"], call["function"]["name"],
                      json.loads(call["function"]["arguments"]))
    for tool in body.get("tools") or []:
        asked.tools[tool["function"]["name"]] = tool["function"].get("parameters")
    choice = body.get("tool_choice")
    asked.choice = choice["function"]["name"] if isinstance(choice, dict) else choice
    asked.limit = body.get("max_completion_tokens", body.get("max_tokens"))
    stop = body.get("stop") or []
    asked.stops = [stop] if isinstance(stop, str) else stop


def _read_item(asked, item):
    kind = item.get("type", "message")
    name = f"{item['namespace']}__{item.get('name')}" if item.get("namespace") else item.get(
        "name")
    if kind == "message":
        content = item["content"]
        for part in [{"text": content}] if isinstance(content, str) else content:
            if "image_url" in part:
                asked.add("image", part["image_url"])
            elif "file_data" in part:
                asked.add("document", part["file_data"])
            elif item["role"] in ("system", "developer"):
                asked.say_system(part["text"])
            else:
                asked.add(item["role"], part.get("text", part.get("refusal", "")))
    elif kind == "reasoning":
        for text in _texts(item.get("content") or []) or _texts(item["summary"]):
            asked.add("thinking", text)
    elif kind == "function_call":
        asked.add("call", item["call_id"], name, json.loads(item["arguments"]))
    elif kind == "custom_tool_call":
        asked.add("call", item["call_id"], name, {"input": item["input"]})
    elif kind.endswith("_output"):
        asked.add("result", item["call_id"], _squeeze(item["output"]))
        for part in item["output"] if isinstance(item["output"], list) else []:
            if "image_url" in part:
                asked.add("image", part["image_url"])
    elif kind == "additional_tools":
        _read_tools(asked, item["tools"])


def _read_tools(asked, tools, prefix=""):
    for tool in tools:
        if tool["type"] == "namespace":
            _read_tools(asked, tool["tools"], tool["name"] + "__")
        elif tool["type"] == "function":
            asked.tools[prefix + tool["name"]] = tool.get("parameters")
        elif tool["type"] == "custom":
            asked.tools[prefix + tool["name"]] = None


def _read_responses(asked, body):
    if body.get("instructions"):
        asked.say_system(body["instructions"])
    _read_tools(asked, body.get("tools") or [])
    if isinstance(body["input"], str):
        asked.add("user", body["input"])
    else:
        for item in body["input"]:
            _read_item(asked, item)
    choice = body.get("tool_choice")
    asked.choice = choice.get("name") if isinstance(choice, dict) else choice
    asked.limit = body.get("max_output_tokens")


def _source_of(block):
    source = block["source"]
    if source["type"] == "base64":
        return f"data:{source['media_type']};base64,{source['data']}"
    return source.get("url", source.get("data"))


def _read_block(asked, role, block):
    kind = block["type"]
    if kind == "text":
        if role == "system":
            asked.say_system(block["text"])
        else:
            asked.add(role, block["text"])
    elif kind == "thinking":
        asked.add("thinking", block["thinking"])
    elif kind in ("image", "document"):
        asked.add(kind, _source_of(block))
    elif kind == "tool_use":
        asked.add("call", block["id"], block["name"], block["input"])
    elif kind == "tool_result":
        content = block.get("content") or ""
        asked.add("result", block["tool_use_id"], _squeeze(content))
        for part in content if isinstance(content, list) else []:
            if part["type"] == "image":
                asked.add("image", _source_of(part))


def _read_messages(asked, body):
    system = body.get("system") or []
    for text in _texts(system):
        asked.say_system(text)
    for message in body["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks:
            _read_block(asked, message["role"], block)
    for tool in body.get("tools") or []:
        asked.tools[tool["name"]] = tool.get("input_schema")
    choice = body.get("tool_choice") or {}
    asked.choice = {"any": "required", "tool": choice.get("name")}.get(
        choice.get("type"), choice.get("type"))
    asked.limit = body.get("max_tokens")
    asked.stops = body.get("stop_sequences") or []
