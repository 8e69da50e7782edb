"""What a strict cloud refuses: the rules of the stand-in cloud, apart from its plumbing.

Each function returns the list of what is wrong with a request; an empty list is a pass. The
rules are the public APIs' own where they are strict, and stricter where a gateway must not
leak.
"""

import json

HOP_BY_HOP = {"keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
              "te", "trailer", "upgrade", "http2-settings", "expect"}
CREDENTIALS = {"authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"}
FIRST_VERSION = "2023-06-01"
VERSIONS = {FIRST_VERSION, "2026-10-21"}
SAMPLING = ("temperature", "top_p", "top_k")

CHAT = {
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens",
    "temperature", "top_p", "n", "stop", "tools", "tool_choice", "parallel_tool_calls",
    "response_format", "seed", "user", "metadata", "store", "reasoning_effort", "logprobs",
    "top_logprobs", "presence_penalty", "frequency_penalty", "logit_bias", "service_tier",
    "prompt_cache_key", "safety_identifier", "modalities", "prediction", "verbosity"}
COMPLETION = {
    "model", "prompt", "stream", "stream_options", "max_tokens", "temperature", "top_p", "n",
    "stop", "seed", "user", "logprobs", "echo", "suffix", "best_of", "presence_penalty",
    "frequency_penalty", "logit_bias"}
EMBEDDING = {"model", "input", "encoding_format", "dimensions", "user"}
RESPONSE = {
    "model", "input", "instructions", "stream", "max_output_tokens", "temperature", "top_p",
    "tools", "tool_choice", "parallel_tool_calls", "store", "include", "reasoning", "metadata",
    "previous_response_id", "text", "truncation", "user", "prompt_cache_key", "service_tier",
    "safety_identifier", "background", "client_metadata", "stream_options"}
MESSAGE = {
    "model", "messages", "system", "max_tokens", "stream", "temperature", "top_p", "top_k",
    "stop_sequences", "tools", "tool_choice", "metadata", "thinking", "service_tier",
    "context_management", "output_config", "container", "mcp_servers"}
COUNT = {"model", "messages", "system", "tools", "tool_choice", "thinking",
         "context_management", "output_config", "mcp_servers"}

CHAT_MESSAGE = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "tool_calls", "refusal", "audio",
                  "reasoning_content"},
    "tool": {"role", "content", "tool_call_id"}}


def strict_json(body):
    """Parses a body as a strict reader does: UTF-8, no duplicate keys, no NaN."""
    def pairs(items):
        seen = {}
        for key, value in items:
            if key in seen:
                raise ValueError(f"key {key!r} twice")
            seen[key] = value
        return seen

    def constant(name):
        raise ValueError(f"{name} is no JSON")

    return json.loads(body.decode("utf-8"), object_pairs_hook=pairs, parse_constant=constant)


def check_headers(headers, *, host, auth, secrets, body):
    """auth: the one credential header expected, as (lower-case name, exact value)."""
    wrong = []
    names = [key.lower() for key, _ in headers]
    for name in sorted(set(names)):
        if names.count(name) > 1 and name != "anthropic-beta":
            wrong.append(f"header {name} {names.count(name)} times")
        if name in HOP_BY_HOP:
            wrong.append(f"hop-by-hop header {name} arrived")
        if name.startswith("x-pointsman-"):
            wrong.append(f"internal header {name} leaked")
        if name in CREDENTIALS and name != auth[0]:
            wrong.append(f"credential header {name} is not ours")
    found = {key.lower(): value for key, value in headers}
    if found.get(auth[0]) != auth[1]:
        wrong.append(f"{auth[0]} is {found.get(auth[0])!r}")
    if found.get("host") != host:
        wrong.append(f"host is {found.get('host')!r}, not {host}")
    if found.get("connection", "keep-alive").lower() not in ("keep-alive", "close"):
        wrong.append(f"connection: {found['connection']}")
    if "transfer-encoding" in found:
        wrong.append("the body came chunked")
    for secret in secrets:
        if any(secret in value for _, value in headers) or secret.encode() in body:
            wrong.append("a credential of the client leaked")
    return wrong


def check_body_headers(headers, length):
    found = {key.lower(): value for key, value in headers}
    wrong = []
    kind = found.get("content-type", "").replace(" ", "").lower()
    if kind not in ("application/json", "application/json;charset=utf-8"):
        wrong.append(f"content-type is {found.get('content-type')!r}")
    if found.get("content-length") != str(length):
        wrong.append("content-length is not the body's")
    if "content-encoding" in found:
        wrong.append("the body is encoded")
    return wrong


def _unknown(body, allowed, where=""):
    return [f"Unrecognized request argument supplied: {where}{key}"
            for key in body if key not in allowed]


def _model(body, model):
    if not isinstance(body.get("model"), str):
        return ["model is missing"]
    if model and body["model"] != model:
        return [f"model is {body['model']!r}, not {model!r}"]
    return []


def _stream(body):
    wrong = []
    if not isinstance(body.get("stream", False), bool):
        wrong.append("stream is no boolean")
    if "stream_options" in body and not body.get("stream"):
        wrong.append("stream_options is only allowed when stream is true")
    return wrong


def _chat_messages(messages):
    if not isinstance(messages, list) or not messages:
        return ["messages must be a non-empty array"]
    wrong, open_calls = [], []
    for n, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in CHAT_MESSAGE:
            wrong.append(f"messages[{n}].role is {role!r}")
            continue
        wrong += _unknown(message, CHAT_MESSAGE[role], f"messages[{n}].")
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                wrong.append(f"messages[{n}]: tool result without its call")
            else:
                open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            wrong.append(f"messages[{n}]: tool calls {open_calls} were not answered")
            open_calls = []
        calls = message.get("tool_calls", [])
        for call in calls:
            if not isinstance(call.get("function", {}).get("arguments"), str):
                wrong.append(f"messages[{n}]: arguments must be a string")
        open_calls = [call.get("id") for call in calls]
        if message.get("content") in (None, []) and not calls:
            wrong.append(f"messages[{n}].content is missing")
    return wrong


def check_openai(path, body, model, allow):
    tables = {"/chat/completions": CHAT, "/completions": COMPLETION,
              "/embeddings": EMBEDDING, "/responses": RESPONSE}
    wrong = _unknown(body, tables[path] | allow) + _model(body, model) + _stream(body)
    if path == "/chat/completions":
        wrong += _chat_messages(body.get("messages"))
        if "max_tokens" in body and "max_completion_tokens" in body:
            wrong.append("max_tokens and max_completion_tokens exclude each other")
        if ("tool_choice" in body or "parallel_tool_calls" in body) and not body.get("tools"):
            wrong.append("tool_choice is only allowed when tools are specified")
    needed = {"/completions": "prompt", "/embeddings": "input", "/responses": "input"}
    if path in needed and not body.get(needed[path]):
        wrong.append(f"{needed[path]} is missing")
    return wrong


def _blocks(message):
    content = message.get("content")
    return content if isinstance(content, list) else []


def _anthropic_messages(messages):
    if not isinstance(messages, list) or not messages:
        return ["messages: at least one message is required"]
    wrong, open_calls = [], []
    for n, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in (
                "user", "assistant", "system"):
            wrong.append(f"messages.{n}.role: Input should be 'user' or 'assistant'")
            continue
        wrong += _unknown(message, {"role", "content", "output_config"}, f"messages.{n}.")
        if not message.get("content"):
            wrong.append(f"messages.{n}: content must not be empty")
        answered = [b.get("tool_use_id") for b in _blocks(message)
                    if b.get("type") == "tool_result"]
        if set(answered) - set(open_calls):
            wrong.append(f"messages.{n}: unexpected tool_use_id in tool_result")
        if set(open_calls) - set(answered):
            wrong.append(f"messages.{n}: tool_use without tool_result")
        open_calls = [b.get("id") for b in _blocks(message) if b.get("type") == "tool_use"]
        for block in _blocks(message):
            if block.get("type") == "tool_use" and not isinstance(block.get("input"), dict):
                wrong.append(f"messages.{n}: tool_use.input must be an object")
    return wrong


def check_anthropic(path, headers, body, model, allow):
    found = {key.lower(): value for key, value in headers}
    version = found.get("anthropic-version")
    counting = path.endswith("/count_tokens")
    wrong = _unknown(body, (COUNT if counting else MESSAGE) | allow)
    wrong += _model(body, model) + _anthropic_messages(body.get("messages"))
    if version not in VERSIONS:
        wrong.append(f"anthropic-version is {version!r}")
    limit = body.get("max_tokens")
    if not counting and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        wrong.append("max_tokens: Field required")
    if version == "2026-10-21":
        wrong += [f"{key}: not supported in this version" for key in SAMPLING if key in body]
    if not isinstance(body.get("stream", False), bool):
        wrong.append("stream is no boolean")
    return wrong
