"""The protocols as a client speaks them: what is asked, and the text of what comes back."""

CHAT = "chat"
COMPLETIONS = "completions"
MESSAGES = "messages"
RESPONSES = "responses"
PROTOCOLS = (CHAT, MESSAGES, RESPONSES)

PATHS = {CHAT: "/v1/chat/completions", COMPLETIONS: "/v1/completions",
         MESSAGES: "/v1/messages", RESPONSES: "/v1/responses"}
VERSION = {"anthropic-version": "2023-06-01"}


def headers_of(protocol):
    return dict(VERSION) if protocol == MESSAGES else {}


def ask(protocol, text, model="auto", stream=False, limit=None, **more):
    """The body of a question. limit is the protocol's own way of saying max tokens."""
    if protocol == COMPLETIONS:
        body = {"model": model, "prompt": text}
    elif protocol == RESPONSES:
        body = {"model": model, "input": text}
    else:
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
    if protocol == MESSAGES:
        body["max_tokens"] = limit or 300
    elif limit:
        body["max_output_tokens" if protocol == RESPONSES else "max_tokens"] = limit
    if stream:
        body["stream"] = True
    body.update(more)
    return body


def text_of(protocol, value):
    """The text of a whole answer."""
    if protocol == CHAT:
        return value["choices"][0]["message"]["content"]
    if protocol == COMPLETIONS:
        return value["choices"][0]["text"]
    if protocol == MESSAGES:
        return "".join(b["text"] for b in value["content"] if b["type"] == "text")
    return "".join(part["text"] for item in value["output"] if item["type"] == "message"
                   for part in item["content"] if part["type"] == "output_text")


def delta_of(protocol, event):
    """The text that one event of a stream adds."""
    if event.done:
        return ""
    value = event.json
    if protocol == CHAT:
        choices = value.get("choices") or [{}]
        return choices[0].get("delta", {}).get("content") or ""
    if protocol == COMPLETIONS:
        choices = value.get("choices") or [{}]
        return choices[0].get("text") or ""
    if protocol == MESSAGES:
        return value.get("delta", {}).get("text", "")
    return value.get("delta", "") if value["type"] == "response.output_text.delta" else ""


def streamed_text(protocol, events):
    return "".join(delta_of(protocol, event) for event in events)


def is_success_end(protocol, event):
    """Does this event tell the client that the answer is complete?"""
    if protocol in (CHAT, COMPLETIONS):
        if event.done:
            return True
        choices = event.json.get("choices") or [{}]
        return choices[0].get("finish_reason") is not None
    return event.json["type"] in ("message_stop", "response.completed",
                                  "response.incomplete")


def is_failure_end(protocol, event):
    """Does this event tell the client that the answer broke off?"""
    if event.done:
        return False
    value = event.json
    if protocol in (CHAT, COMPLETIONS):
        return "error" in value
    return value["type"] in ("error", "response.failed")


def error_of(protocol, reply):
    """The message of an error, after a check of the protocol's shape."""
    value = reply.json
    if protocol == MESSAGES:
        assert value["type"] == "error", reply
        assert isinstance(value["error"]["type"], str), reply
    else:
        assert "type" in value["error"] and "code" in value["error"], reply
    message = value["error"]["message"]
    assert isinstance(message, str) and message, reply
    return message
